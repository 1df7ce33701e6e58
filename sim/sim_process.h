#ifndef HOLDFAST_SIM_SIM_PROCESS_H_
#define HOLDFAST_SIM_SIM_PROCESS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "sim/sim_loop.h"
#include "sim/world.h"

namespace holdfast {

// What a process holds of its operating system, a file or a socket; counted as
// long as it exists.
class OpenHandle {
 public:
  explicit OpenHandle(std::shared_ptr<size_t> count)
      : count_(std::move(count)) {
    ++*count_;
  }
  ~OpenHandle() { --*count_; }
  OpenHandle(const OpenHandle&) = delete;
  OpenHandle& operator=(const OpenHandle&) = delete;

 private:
  const std::shared_ptr<size_t> count_;
};

// One life of a process on a simulated machine: its Loop, and whether it
// still lives. The engine's objects of the process, its Disk and its Network
// are made on top of it and destroyed before it.
//
// Death has two steps. Kill() takes effect at once: no event of the process
// runs any more, and whatever its code still submits (from destructors, or
// from the rest of the task in whose midst it died) has no effect. Then the
// owner destroys the objects, outside of their own code.
class SimProcess {
 public:
  SimProcess(World* world, MachineId machine, uint32_t boot, ClockModel clock)
      : world_(world),
        machine_(machine),
        boot_(boot),
        actor_(world->scheduler.AddActor()),
        loop_(&world->scheduler, actor_, clock) {
    if (world->observer() != nullptr) {
      world->observer()->OnProcess(actor_, machine, boot);
    }
  }
  ~SimProcess() { Kill(); }
  SimProcess(const SimProcess&) = delete;
  SimProcess& operator=(const SimProcess&) = delete;

  World* world() const { return world_; }
  SimLoop* loop() { return &loop_; }
  const SimLoop* loop() const { return &loop_; }
  ActorId actor() const { return actor_; }
  MachineId machine() const { return machine_; }
  // Which life of the machine's process this is, from 1.
  uint32_t boot() const { return boot_; }
  ChanceActor chance_actor() const { return {machine_, boot_}; }
  bool alive() const { return alive_; }

  // For the simulated Disk and Network to count what they give out by: files;
  // connections and ports.
  const std::shared_ptr<size_t>& open_files() const { return open_files_; }
  const std::shared_ptr<size_t>& open_sockets() const { return open_sockets_; }

  // Connections that its ports have brought so far.
  uint64_t accepted() const { return accepted_; }
  void CountAccepted() { ++accepted_; }

  void Kill() {
    // Also one that died before an I/O: its events are still there.
    alive_ = false;
    if (!world_->scheduler.dropped(actor_)) {
      world_->scheduler.DropActor(actor_);
    }
  }

  // Called before each of its operations; it may ask for its death.
  void set_before_io(std::function<void()> fn) { before_io_ = std::move(fn); }

  enum class Io { kAny, kDisk, kNetwork };

  // The process dies just before its n-th operation of that kind from now
  // (n >= 1), in the midst of the task that submits it. `on_death` runs when
  // that task has ended, and is to do what a crash does. n = 0 takes back an
  // earlier wish.
  void DieBeforeIo(uint64_t n, Io kind, Task on_death) {
    io_left_ = n;
    io_kind_ = kind;
    on_death_ = std::move(on_death);
  }

  // The simulated Disk and Network call this for each operation that they are
  // asked for. False: the process is dead, the operation has no effect.
  bool BeginIo(Io kind) {
    if (!alive_) return false;
    ++io_submitted_;
    if (before_io_) before_io_();
    if (io_left_ > 0 && (io_kind_ == Io::kAny || io_kind_ == kind) &&
        --io_left_ == 0) {
      alive_ = false;
      world_->scheduler.AfterThisEvent(std::move(on_death_));
      return false;
    }
    return true;
  }
  uint64_t io_submitted() const { return io_submitted_; }

 private:
  World* const world_;
  const MachineId machine_;
  const uint32_t boot_;
  const ActorId actor_;
  SimLoop loop_;
  bool alive_ = true;
  const std::shared_ptr<size_t> open_files_ = std::make_shared<size_t>(0);
  const std::shared_ptr<size_t> open_sockets_ = std::make_shared<size_t>(0);
  uint64_t accepted_ = 0;
  uint64_t io_left_ = 0;  // 0: no wish
  Io io_kind_ = Io::kAny;
  uint64_t io_submitted_ = 0;
  Task on_death_;
  std::function<void()> before_io_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SIM_PROCESS_H_
