#ifndef HOLDFAST_SIM_REPORT_TESTING_VIOLATING_RUN_H_
#define HOLDFAST_SIM_REPORT_TESTING_VIOLATING_RUN_H_

#include <string>

#include "sim/report/recorder.h"
#include "sim/report/recording.h"
#include "sim/simulation.h"

namespace holdfast {

// A watched run of a good cluster that ends in a violation all the same: client
// 1 is said to have read the log to end before what client 2 had appended.
// Before that a server lost power, and another one was cut off.
class ViolatingRun {
 public:
  ViolatingRun() : simulation_(Options()), recorder_(&simulation_, {}) {
    simulation_.StartServers();
    simulation_.StartClients();
    simulation_.RunFor(1s);
    simulation_.server(3)->Crash(/*power_lost=*/true);
    simulation_.RunFor(100ms);
    simulation_.server(3)->Start();
    simulation_.network()->SetCut(1, 2, true);
    simulation_.RunFor(100ms);
    simulation_.network()->HealAll();
    simulation_.RunFor(1s);
    TellFalsehood();
  }

  Simulation* simulation() { return &simulation_; }
  const Recording& recording() { return recorder_.Finish(); }

 private:
  static SimulationOptions Options() {
    SimulationOptions options;
    options.seed = 7;
    options.nodes = 3;
    options.clients = 2;
    options.rates = FaultRates{};
    return options;
  }
  void TellFalsehood() {
    constexpr uint64_t kCall = uint64_t{1} << 40;
    History* history = simulation_.mutable_history();
    const Offset noted = history->Invoke();
    recorder_.OnCall({kFirstClient, kCall, "read", "from offset 0"});
    simulation_.RunFor(2ms);
    World* world = simulation_.world();
    world->scheduler.At(
        world->now(), kWorldActor, EventKind::kHarness, [this, history, noted] {
          const Offset end = noted - 1;
          recorder_.OnReturn(kFirstClient, kCall, CallEnd::kDone,
                             "the log ends too early", end.value());
          history->LinearizableEnd(end, noted, NameOf(kFirstClient));
        });
    simulation_.RunFor(1ms);
  }

  Simulation simulation_;
  Recorder recorder_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_TESTING_VIOLATING_RUN_H_
