#include "sim/scheduler.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace holdfast {

Scheduler::Scheduler(Trace* trace) : trace_(trace) {
  actors_.emplace_back();  // the world
}

Scheduler::~Scheduler() {
  for (ActorId actor = 0; actor < actors_.size(); ++actor) DropActor(actor);
}

ActorId Scheduler::AddActor() {
  actors_.emplace_back();
  return static_cast<ActorId>(actors_.size() - 1);
}

void Scheduler::DropActor(ActorId actor) {
  CHECK_LT(actor, actors_.size());
  actors_[actor].dropped = true;
  actors_[actor].events_until_wish = 0;
  Task wish = std::move(actors_[actor].wish);
  // Destroying a task may cancel or schedule others; so look anew each time.
  while (actors_[actor].first != kNoSlot) {
    const uint32_t slot = actors_[actor].first;
    if (slots_[slot].in_heap) ++stale_in_heap_;
    Task doomed = Release(slot);
  }
}

size_t Scheduler::CountPending(ActorId actor, EventKind kind) const {
  size_t count = 0;
  for (uint32_t slot = actors_[actor].first; slot != kNoSlot;
       slot = slots_[slot].next) {
    if (slots_[slot].kind == kind) ++count;
  }
  return count;
}

uint32_t Scheduler::TakeSlot() {
  if (free_ != kNoSlot) {
    const uint32_t slot = free_;
    free_ = slots_[slot].next;
    return slot;
  }
  CHECK_LT(slots_.size(), size_t{kNoSlot});
  slots_.emplace_back();
  return static_cast<uint32_t>(slots_.size() - 1);
}

void Scheduler::Unlink(uint32_t slot) {
  Slot& s = slots_[slot];
  if (s.previous != kNoSlot) {
    slots_[s.previous].next = s.next;
  } else {
    actors_[s.actor].first = s.next;
  }
  if (s.next != kNoSlot) slots_[s.next].previous = s.previous;
}

Task Scheduler::Release(uint32_t slot) {
  Unlink(slot);
  Slot& s = slots_[slot];
  Task task = std::move(s.task);
  s.id = 0;
  s.next = free_;
  free_ = slot;
  --live_;
  return task;
}

Scheduler::EventId Scheduler::At(TrueTime when, ActorId actor, EventKind kind,
                                 Task task) {
  CHECK_LT(actor, actors_.size());
  if (actors_[actor].dropped) return 0;
  const uint32_t slot = TakeSlot();
  const EventId id = ++sequence_ << kSlotBits | slot;
  Slot& s = slots_[slot];
  s.task = std::move(task);
  s.id = id;
  s.actor = actor;
  s.kind = kind;
  s.cause = dispatched_;
  s.in_heap = when > now_;
  s.previous = kNoSlot;
  s.next = actors_[actor].first;
  if (s.next != kNoSlot) slots_[s.next].previous = slot;
  actors_[actor].first = slot;
  ++live_;
  if (s.in_heap) {
    Push({when.time_since_epoch().count(), id});
  } else {
    due_.push_back(id);
  }
  return id;
}

void Scheduler::Cancel(EventId id) {
  const uint64_t slot = id & kSlotMask;
  if (id == 0 || slot >= slots_.size() || !Live(id)) return;
  if (slots_[slot].in_heap) ++stale_in_heap_;
  Task doomed = Release(static_cast<uint32_t>(slot));
  CompactHeap();
}

void Scheduler::AfterThisEvent(Task task) {
  after_this_.push_back(std::move(task));
}

void Scheduler::AfterEventsOf(ActorId actor, uint64_t n, Task task) {
  CHECK_LT(actor, actors_.size());
  CHECK_GT(n, uint64_t{0});
  if (actors_[actor].dropped) return;
  actors_[actor].events_until_wish = n;
  Task replaced = std::move(actors_[actor].wish);
  actors_[actor].wish = std::move(task);
}

void Scheduler::Pause(ActorId actor, TrueTime until) {
  CHECK_LT(actor, actors_.size());
  ActorState& state = actors_[actor];
  state.paused_until = std::max(state.paused_until, until);
  if (!state.paused_at.has_value()) state.paused_at = now_;
  if (trace_->observer() != nullptr) trace_->observer()->OnPause(actor, until);
}

void Scheduler::Push(Entry entry) {
  size_t hole = heap_.size();
  heap_.push_back(entry);
  while (hole > 0) {
    const size_t parent = (hole - 1) / 4;
    if (!entry.Before(heap_[parent])) break;
    heap_[hole] = heap_[parent];
    hole = parent;
  }
  heap_[hole] = entry;
}

void Scheduler::SiftDown(size_t hole, Entry entry) {
  const size_t size = heap_.size();
  for (;;) {
    const size_t first = hole * 4 + 1;
    if (first >= size) break;
    size_t least = first;
    const size_t end = std::min(first + 4, size);
    for (size_t child = first + 1; child < end; ++child) {
      if (heap_[child].Before(heap_[least])) least = child;
    }
    if (!heap_[least].Before(entry)) break;
    heap_[hole] = heap_[least];
    hole = least;
  }
  heap_[hole] = entry;
}

void Scheduler::PopTop() {
  const Entry last = heap_.back();
  heap_.pop_back();
  if (!heap_.empty()) SiftDown(0, last);
}

void Scheduler::DropStale() {
  while (!heap_.empty() && !Live(heap_.front().id)) {
    PopTop();
    --stale_in_heap_;
  }
}

// Timers that are set and cancelled all the time (an election's, say) would
// otherwise fill the heap with entries of the dead.
void Scheduler::CompactHeap() {
  if (heap_.size() < 256 || stale_in_heap_ * 2 < heap_.size()) return;
  std::erase_if(heap_, [this](const Entry& e) { return !Live(e.id); });
  stale_in_heap_ = 0;
  for (size_t i = heap_.size() / 4 + 1; i-- > 0;) {
    if (i < heap_.size()) SiftDown(i, heap_[i]);
  }
}

bool Scheduler::FindNext(Entry* next, bool* from_heap) {
  DropStale();
  while (due_head_ < due_.size() && !Live(due_[due_head_])) ++due_head_;
  if (due_head_ == due_.size()) {
    due_.clear();
    due_head_ = 0;
    if (heap_.empty()) return false;
    *next = heap_.front();
    *from_heap = true;
    return true;
  }
  const Entry due = {now_.time_since_epoch().count(), due_[due_head_]};
  *from_heap = !heap_.empty() && heap_.front().Before(due);
  *next = *from_heap ? heap_.front() : due;
  return true;
}

bool Scheduler::Step() {
  Entry next;
  bool from_heap;
  do {
    if (!FindNext(&next, &from_heap)) return false;
  } while (PutOff(next, from_heap));
  Dispatch(next, from_heap);
  return true;
}

bool Scheduler::StepUntil(TrueTime limit) {
  Entry next;
  bool from_heap;
  do {
    if (!FindNext(&next, &from_heap) ||
        next.time > limit.time_since_epoch().count()) {
      now_ = std::max(now_, limit);
      return false;
    }
  } while (PutOff(next, from_heap));
  Dispatch(next, from_heap);
  return true;
}

void Scheduler::Take(bool from_heap) {
  if (from_heap) {
    PopTop();
  } else {
    ++due_head_;
  }
}

bool Scheduler::PutOff(Entry next, bool from_heap) {
  Slot& slot = slots_[next.id & kSlotMask];
  const int64_t until =
      actors_[slot.actor].paused_until.time_since_epoch().count();
  if (next.time >= until) return false;
  Take(from_heap);
  slot.in_heap = true;
  Push({until, next.id});
  return true;
}

void Scheduler::Dispatch(Entry next, bool from_heap) {
  Take(from_heap);
  const auto slot = static_cast<uint32_t>(next.id & kSlotMask);
  const ActorId actor = slots_[slot].actor;
  now_ = TrueTime(Duration(next.time));
  ++dispatched_;
  last_actor_ = actor;
  trace_->Event(now_, next.id >> kSlotBits, actor, slots_[slot].kind,
                slots_[slot].cause);
  stale_ = std::exchange(actors_[actor].paused_at, std::nullopt);
  {
    Task task = Release(slot);
    task();
  }
  stale_ = std::nullopt;
  ActorState& state = actors_[actor];
  if (state.events_until_wish > 0 && --state.events_until_wish == 0) {
    Task wish = std::move(state.wish);
    wish();
  }
  for (size_t i = 0; i < after_this_.size(); ++i) {
    Task task = std::move(after_this_[i]);
    task();
  }
  after_this_.clear();
}

}  // namespace holdfast
