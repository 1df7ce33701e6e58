#ifndef HOLDFAST_ENGINE_BASE_INLINE_FUNCTION_H_
#define HOLDFAST_ENGINE_BASE_INLINE_FUNCTION_H_

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include "engine/base/check.h"

namespace holdfast {

// A move-only callable that keeps captures of up to `kInlineBytes` inside
// itself, so that an event costs no allocation; larger captures go to the
// heap. absl::AnyInvocable is the same idea with room for two pointers only,
// too few for a completion with its owner, its request and its buffer.
//
// Calling an empty one is a CHECK failure. A call doesn't consume it.
template <typename Signature, size_t kInlineBytes = 48>
class InlineFunction;

template <typename R, typename... Args, size_t kInlineBytes>
class InlineFunction<R(Args...), kInlineBytes> {
 public:
  InlineFunction() = default;
  InlineFunction(std::nullptr_t) {}  // NOLINT: as std::function

  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, InlineFunction> &&
           std::is_invocable_r_v<R, F&, Args...>)
      InlineFunction(F&& f) {  // NOLINT: converts as std::function does
    using Callable = std::remove_cvref_t<F>;
    if constexpr (FitsInline<Callable>()) {
      new (storage_) Callable(std::forward<F>(f));
      ops_ = &kInlineOps<Callable>;
    } else {
      *reinterpret_cast<Callable**>(storage_) =
          new Callable(std::forward<F>(f));
      ops_ = &kHeapOps<Callable>;
    }
  }

  InlineFunction(InlineFunction&& other) noexcept { TakeFrom(other); }
  InlineFunction& operator=(InlineFunction&& other) noexcept {
    if (this != &other) {
      Reset();
      TakeFrom(other);
    }
    return *this;
  }
  InlineFunction(const InlineFunction&) = delete;
  InlineFunction& operator=(const InlineFunction&) = delete;
  ~InlineFunction() { Reset(); }

  explicit operator bool() const { return ops_ != nullptr; }

  R operator()(Args... args) {
    CHECK(ops_ != nullptr);
    return ops_->call(storage_, std::forward<Args>(args)...);
  }

 private:
  struct Ops {
    R (*call)(void*, Args&&...);
    void (*move)(void* from, void* to);  // leaves `from` destroyed
    void (*destroy)(void*);
  };

  template <typename F>
  static constexpr bool FitsInline() {
    return sizeof(F) <= kInlineBytes &&
           alignof(F) <= alignof(std::max_align_t) &&
           std::is_nothrow_move_constructible_v<F>;
  }

  template <typename F>
  static constexpr Ops kInlineOps = {
      [](void* p, Args&&... args) -> R {
        return (*static_cast<F*>(p))(std::forward<Args>(args)...);
      },
      [](void* from, void* to) {
        new (to) F(std::move(*static_cast<F*>(from)));
        static_cast<F*>(from)->~F();
      },
      [](void* p) { static_cast<F*>(p)->~F(); }};

  template <typename F>
  static constexpr Ops kHeapOps = {
      [](void* p, Args&&... args) -> R {
        return (**static_cast<F**>(p))(std::forward<Args>(args)...);
      },
      [](void* from, void* to) {
        *static_cast<F**>(to) = *static_cast<F**>(from);
      },
      [](void* p) { delete *static_cast<F**>(p); }};

  void TakeFrom(InlineFunction& other) {
    if (other.ops_ == nullptr) return;
    other.ops_->move(other.storage_, storage_);
    ops_ = std::exchange(other.ops_, nullptr);
  }
  void Reset() {
    if (ops_ != nullptr) std::exchange(ops_, nullptr)->destroy(storage_);
  }

  alignas(std::max_align_t) unsigned char storage_[kInlineBytes];
  const Ops* ops_ = nullptr;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_INLINE_FUNCTION_H_
