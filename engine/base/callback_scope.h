#ifndef HOLDFAST_ENGINE_BASE_CALLBACK_SCOPE_H_
#define HOLDFAST_ENGINE_BASE_CALLBACK_SCOPE_H_

#include <memory>
#include <utility>

namespace holdfast {

// Drops callbacks whose receiver is gone: for completions of operations that
// belong to somebody else (a Disk that outlives its user, say).
//
//   disk_->SyncDir(scope_.Wrap([this](absl::Status s) { ... }));
//   ...
//   CallbackScope scope_;  // the last member: destroyed first
class CallbackScope {
 public:
  template <typename F>
  auto Wrap(F f) const {
    return [alive = std::weak_ptr<Token>(token_),
            f = std::move(f)](auto&&... args) mutable {
      if (!alive.expired()) f(std::forward<decltype(args)>(args)...);
    };
  }

  // Drops all that was wrapped so far.
  void DropAll() { token_ = std::make_shared<Token>(); }

 private:
  struct Token {};
  std::shared_ptr<Token> token_ = std::make_shared<Token>();
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_CALLBACK_SCOPE_H_
