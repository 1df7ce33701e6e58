#ifndef HOLDFAST_SIM_SCHEDULER_H_
#define HOLDFAST_SIM_SCHEDULER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/env/loop.h"
#include "sim/trace.h"
#include "sim/types.h"

namespace holdfast {

// The one queue of all that will happen in a simulated world. Events run in
// the total order of (time, sequence of scheduling): no tie is left to the
// data structure, so a run is a function of its inputs alone.
//
//   Scheduler scheduler(&trace);
//   ActorId actor = scheduler.AddActor();
//   scheduler.At(scheduler.now() + 1ms, actor, EventKind::kTimer, [] {...});
//   while (scheduler.Step()) {}
//
// An event costs no allocation: its Task lies in a slot of a table, and what
// is sorted is a pair (time, sequence and slot) of 16 bytes in a 4-ary heap.
// Events due at once bypass the heap through a queue.
class Scheduler {
 public:
  // Sequence (upper 40 bits) and slot (lower 24): unique for ever, ordered as
  // the events were scheduled. 0 is none.
  using EventId = uint64_t;

  explicit Scheduler(Trace* trace);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // A new actor; its events can be dropped together.
  ActorId AddActor();
  // Destroys the actor's pending events and ignores what it schedules from
  // now on.
  void DropActor(ActorId actor);
  bool dropped(ActorId actor) const { return actors_[actor].dropped; }

  // Runs `task` at `when`, or as soon as possible if that has passed; never
  // inside this call. Returns 0, and drops the task, for a dropped actor.
  EventId At(TrueTime when, ActorId actor, EventKind kind, Task task);

  // Destroys the event. Harmless when it has run, was cancelled, or is 0.
  void Cancel(EventId id);

  // Runs `task` when the event that runs now has ended, before any other. It
  // is part of that event, not one of its own.
  void AfterThisEvent(Task task);

  // Runs `task` right after the actor's n-th event from now (n >= 1), before
  // any other event; replaces an earlier such wish. Crashes "at any event"
  // are made of this.
  void AfterEventsOf(ActorId actor, uint64_t n, Task task);

  // Nothing of the actor runs before `until`; what falls due meanwhile runs
  // then, in order. As SIGSTOP and SIGCONT, or a machine that is overcommitted.
  // It strikes just after a task has read the clock: see task_time.
  void Pause(ActorId actor, TrueTime until);
  // When its last pause ends or has ended.
  TrueTime PausedUntil(ActorId actor) const {
    return actors_[actor].paused_until;
  }

  // Runs the next event; false when there is none.
  bool Step();
  // Runs the next event if it is due at `limit` or before; otherwise moves
  // the time on to `limit` and returns false.
  bool StepUntil(TrueTime limit);

  TrueTime now() const { return now_; }
  // When the task that is running has read its process's clock: now, but for
  // the first one that goes on after a pause.
  TrueTime task_time() const { return stale_.value_or(now_); }
  uint64_t dispatched() const { return dispatched_; }
  // Whose event was dispatched last.
  ActorId last_actor() const { return last_actor_; }
  size_t pending() const { return live_; }
  // The actor's pending events of one kind; walks all of them.
  size_t CountPending(ActorId actor, EventKind kind) const;

 private:
  static constexpr int kSlotBits = 24;
  static constexpr uint64_t kSlotMask = (uint64_t{1} << kSlotBits) - 1;
  static constexpr uint32_t kNoSlot = kSlotMask;

  struct Slot {
    Task task;
    EventId id = 0;      // 0: free
    uint64_t cause = 0;  // the event that scheduled it
    // Neighbours in the actor's list of pending events, or the free list.
    uint32_t next = kNoSlot;
    uint32_t previous = kNoSlot;
    ActorId actor = 0;
    EventKind kind = EventKind::kHarness;
    bool in_heap = false;
  };
  struct Entry {
    int64_t time;
    EventId id;
    bool Before(const Entry& other) const {
      return time != other.time ? time < other.time : id < other.id;
    }
  };
  struct ActorState {
    uint32_t first = kNoSlot;
    bool dropped = false;
    TrueTime paused_until{};
    std::optional<TrueTime> paused_at;  // and hasn't run since
    uint64_t events_until_wish = 0;     // 0: no wish
    Task wish;
  };

  uint32_t TakeSlot();
  void Unlink(uint32_t slot);
  // Frees the slot; returns what it held, to be destroyed or run by the
  // caller once the tables are consistent.
  Task Release(uint32_t slot);
  bool Live(EventId id) const { return slots_[id & kSlotMask].id == id; }

  void Push(Entry entry);
  void PopTop();
  void SiftDown(size_t hole, Entry entry);
  void DropStale();
  void CompactHeap();
  // The next live event, from the queue of those due or the heap; false when
  // there is none.
  bool FindNext(Entry* next, bool* from_heap);
  void Take(bool from_heap);
  // Whether its actor is paused: then the event is put off.
  bool PutOff(Entry next, bool from_heap);
  void Dispatch(Entry next, bool from_heap);

  Trace* const trace_;
  TrueTime now_{};
  std::optional<TrueTime> stale_;
  uint64_t sequence_ = 0;
  uint64_t dispatched_ = 0;
  ActorId last_actor_ = kWorldActor;
  size_t live_ = 0;

  std::vector<Slot> slots_;
  uint32_t free_ = kNoSlot;
  std::vector<ActorState> actors_;

  std::vector<Entry> heap_;
  size_t stale_in_heap_ = 0;
  // Due at now_, in order; [due_head_, size) are left.
  std::vector<EventId> due_;
  size_t due_head_ = 0;
  std::vector<Task> after_this_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SCHEDULER_H_
