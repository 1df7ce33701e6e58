#ifndef HOLDFAST_SIM_REPORT_RECORDER_H_
#define HOLDFAST_SIM_REPORT_RECORDER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "sim/observer.h"
#include "sim/report/recording.h"
#include "sim/report/streams.h"
#include "sim/simulation.h"

namespace holdfast {

// Watches a run and writes down all that happens. Made before the run starts
// anything, and outlived by its simulation:
//
//   Simulation simulation(options);
//   Recorder recorder(&simulation, {});
//   simulation.Run();
//   ... TextTrace(recorder.Finish()) ...
class Recorder final : public Observer {
 public:
  struct Options {
    // What happens later isn't written down, but for a violation.
    TrueTime to = TrueTime::max();
    // The run ends after this event; 0: by itself.
    uint64_t stop_after = 0;
  };
  Recorder(Simulation* simulation, Options options);
  ~Recorder() override;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // What was seen so far; also in the midst of a run.
  const Recording& Finish();

  void OnEvent(const Event& event) override;
  bool AfterEvent() override;
  void OnNote(TrueTime time, const std::string& text) override;
  void OnProcess(ActorId actor, MachineId machine, uint32_t boot) override;
  void OnPause(ActorId actor, TrueTime until) override;
  void OnIncident(const Incident& incident) override;
  void OnWrite(const StreamDirection& where, absl::string_view bytes) override;
  void OnArrive(const StreamDirection& where, size_t bytes) override;
  void OnRead(const StreamDirection& where, size_t bytes) override;
  void OnDiskBegin(MachineId machine, const DiskAction& action) override;
  void OnDiskEnd(MachineId machine, uint64_t id) override;
  void OnCall(const ClientCall& call) override;
  void OnReturn(MachineId machine, uint64_t id, CallEnd end,
                const std::string& detail, uint64_t shown) override;

 private:
  using OnMachine = std::pair<MachineId, uint64_t>;  // and an id of its own
  // Whose requests of what, over which stream (0: any).
  using Topic = std::tuple<MachineId, MachineId, uint64_t, WireType, uint8_t>;
  struct Asked {
    uint64_t number;
    uint32_t message;
  };

  Moment Now() const;
  bool over() const { return Now().time > options_.to; }
  void Add(Recording::FactKind kind, size_t index);
  uint32_t OnMessage(const StreamDirection& where, WireText wire,
                     uint64_t bytes);
  void Pair(const StreamDirection& where, const Exchange& exchange,
            uint32_t message);
  // Its process is gone, and with it all that it had under way.
  void OnDeath(MachineId machine);
  void TakeState(MachineId machine);
  void TakeViolation();
  void FindCalls(Recording::Violation* violation) const;

  Simulation* const simulation_;
  const Options options_;
  Recording recording_;
  Streams streams_;
  std::vector<MachineId> machine_of_;  // by actor
  MachineId now_running_ = 0;
  std::vector<MachineId> touched_;  // by others' events
  std::map<OnMachine, uint32_t> disk_under_way_;
  std::map<OnMachine, uint32_t> calls_under_way_;
  std::map<MachineId, Recording::State> state_;
  std::map<Topic, std::deque<Asked>> asked_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_RECORDER_H_
