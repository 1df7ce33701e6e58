#ifndef HOLDFAST_ENGINE_BASE_LOOKUP_MAP_H_
#define HOLDFAST_ENGINE_BASE_LOOKUP_MAP_H_

#include <cstddef>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace holdfast {

// A hash map that can't be iterated, because the order of a hash table must
// reach no decision (determinism). What has to be walked is kept in an
// ordered container instead.
template <typename Key, typename Value>
class LookupMap {
 public:
  // Null when absent. Valid until the next change of the map.
  Value* Find(const Key& key) {
    auto it = map_.find(key);
    return it == map_.end() ? nullptr : &it->second;
  }
  const Value* Find(const Key& key) const {
    auto it = map_.find(key);
    return it == map_.end() ? nullptr : &it->second;
  }
  bool Contains(const Key& key) const { return map_.contains(key); }

  // Inserts or replaces.
  Value& Set(const Key& key, Value value) {
    return map_.insert_or_assign(key, std::move(value)).first->second;
  }
  // Finds, or inserts a value-initialised one.
  Value& operator[](const Key& key) { return map_[key]; }

  bool Erase(const Key& key) { return map_.erase(key) > 0; }
  void Clear() { map_.clear(); }
  size_t size() const { return map_.size(); }
  bool empty() const { return map_.empty(); }

 private:
  absl::flat_hash_map<Key, Value> map_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_LOOKUP_MAP_H_
