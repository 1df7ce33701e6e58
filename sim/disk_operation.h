#ifndef HOLDFAST_SIM_DISK_OPERATION_H_
#define HOLDFAST_SIM_DISK_OPERATION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "sim/file_image.h"
#include "sim/types.h"

// What a simulated disk has under way (sim/sim_disk.h).

namespace holdfast {

// An operation from its submission to its completion.
class DiskOperation {
 public:
  explicit DiskOperation(const void* owner_object) : owner(owner_object) {}
  virtual ~DiskOperation() = default;

  // What it does to the images.
  virtual void TakeEffect() = 0;
  // As far as it came when its process died.
  virtual void TakeEffectInPart(uint64_t /*how_far*/) { TakeEffect(); }
  virtual bool may_happen_in_part() const { return false; }
  // Calls its completion, once it has taken effect.
  virtual void Complete() = 0;
  virtual void DropCompletion() = 0;

  uint64_t id = 0;
  TrueTime when{};
  const void* owner;  // whose destruction drops the completion
  // A write's file; null: not a write.
  const FileImage* writes = nullptr;
  // Of a write or a read.
  uint64_t from = 0;
  uint64_t to = 0;
};

// An operation made of two lambdas: the effect's result is what the completion
// is given.
template <typename Effect, typename Done>
class SimpleOperation : public DiskOperation {
 public:
  SimpleOperation(const void* owner_object, Effect effect, Done done)
      : DiskOperation(owner_object),
        effect_(std::move(effect)),
        done_(std::move(done)) {}

  void TakeEffect() override { result_.emplace(effect_(id)); }
  void Complete() override {
    Done done = std::move(done_);
    auto result = std::move(*result_);
    done(std::move(result));
  }
  void DropCompletion() override { Done dropped = std::move(done_); }

 private:
  Effect effect_;
  Done done_;
  std::optional<std::invoke_result_t<Effect&, uint64_t>> result_;
};

// Another one, of which a part may happen: `part` is given its number and how
// far it came.
template <typename Effect, typename Part, typename Done>
class PartialOperation final : public SimpleOperation<Effect, Done> {
 public:
  PartialOperation(const void* owner_object, Effect effect, Part part,
                   Done done)
      : SimpleOperation<Effect, Done>(owner_object, std::move(effect),
                                      std::move(done)),
        part_(std::move(part)) {}

  bool may_happen_in_part() const override { return true; }
  void TakeEffectInPart(uint64_t how_far) override { part_(this->id, how_far); }

 private:
  Part part_;
};

template <typename Effect, typename Done>
std::unique_ptr<DiskOperation> MakeOperation(const void* owner, Effect effect,
                                             Done done) {
  return std::make_unique<SimpleOperation<Effect, Done>>(
      owner, std::move(effect), std::move(done));
}

template <typename Effect, typename Part, typename Done>
std::unique_ptr<DiskOperation> MakePartialOperation(const void* owner,
                                                    Effect effect, Part part,
                                                    Done done) {
  return std::make_unique<PartialOperation<Effect, Part, Done>>(
      owner, std::move(effect), std::move(part), std::move(done));
}

}  // namespace holdfast

#endif  // HOLDFAST_SIM_DISK_OPERATION_H_
