#ifndef HOLDFAST_ENGINE_WAL_TESTING_IMAGES_H_
#define HOLDFAST_ENGINE_WAL_TESTING_IMAGES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "engine/wal/testing/memory_disk.h"
#include "gtest/gtest.h"

namespace holdfast {

// The images that a power failure can leave of a disk at one moment: of what
// isn't synced, each sector of a write and each change of a name may have
// reached it or not. Counts what it visits.
class Images {
 public:
  using Survives = MemoryDisk::Survives;
  using Visit = std::function<void(const Survives&)>;

  // Of so many parts in a row all subsets are looked at, where there are too
  // many parts for all.
  explicit Images(size_t window = 8) : window_(window) {}

  uint64_t count() const { return count_; }
  // Moments at which not all images were looked at.
  uint64_t bounded() const { return bounded_; }

  // All of them, where that can be done; ends early when the test has failed.
  void ForEach(const MemoryDisk& disk, const Visit& visit) {
    const Parts parts = disk.UnsyncedParts();
    if (parts.size() <= kAllSubsetsOf) return AllSubsets(parts, {}, visit);
    ++bounded_;
    Bounded(parts, visit);
  }

 private:
  using Parts = std::vector<MemoryDisk::Part>;
  using Part = std::pair<size_t, size_t>;

  // Of so many parts all subsets are images.
  static constexpr size_t kAllSubsetsOf = 12;

  // All subsets of these, with those of `always`.
  void AllSubsets(const Parts& parts, const std::set<Part>& always,
                  const Visit& visit) {
    for (uint64_t mask = 0; mask >> parts.size() == 0; ++mask) {
      std::set<Part> kept = always;
      for (size_t i = 0; i < parts.size(); ++i) {
        if ((mask >> i & 1) != 0) kept.emplace(parts[i].op, parts[i].sector);
      }
      ++count_;
      visit([&kept](size_t op, size_t sector) {
        return kept.contains({op, sector});
      });
      if (testing::Test::HasFatalFailure()) return;
    }
  }

  // All subsets of a window of parts, while of the ones before all or none are
  // there, and of the ones behind all or none.
  void Bounded(const Parts& parts, const Visit& visit) {
    const size_t step = window_ / 2;
    for (size_t from = 0; from + step < parts.size(); from += step) {
      const size_t to = std::min(from + window_, parts.size());
      for (uint64_t others = 0; others < 4; ++others) {
        std::set<Part> always;
        for (size_t i = 0; i < parts.size(); ++i) {
          const bool there =
              i < from ? (others & 1) != 0 : i >= to && (others & 2) != 0;
          if (there) always.emplace(parts[i].op, parts[i].sector);
        }
        AllSubsets(Parts(parts.begin() + static_cast<ptrdiff_t>(from),
                         parts.begin() + static_cast<ptrdiff_t>(to)),
                   always, visit);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }

  const size_t window_;
  uint64_t count_ = 0;
  uint64_t bounded_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_TESTING_IMAGES_H_
