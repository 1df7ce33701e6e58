#ifndef HOLDFAST_SIM_CLI_EXHAUSTIVE_CASES_H_
#define HOLDFAST_SIM_CLI_EXHAUSTIVE_CASES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "sim/cli/flags.h"
#include "sim/observer.h"
#include "sim/tape.h"

namespace holdfast {

// The small scope: three servers and a client that appends twice, without
// faults. Everything else that a seed draws, it draws.
SimulateFlags SmallScope(const SimulateFlags& flags, uint64_t seed);

// Before what a case's faults strike.
enum class Strikes {
  kIo,             // of a server
  kArrival,        // of bytes from one server at another one
  kClientArrival,  // from the client at a server, or back
};

// Where the faults of a case can strike: watches the small scope's run, up to a
// little after the second append was answered, when all servers know of it.
class Places final : public Observer {
 public:
  // Entries without a value.
  const std::vector<TapeEntry>& Of(Strikes strikes) const;

  void OnEvent(const Event& event) override { now_ = event.time; }
  void OnReturn(MachineId machine, uint64_t id, CallEnd end,
                const std::string& detail, uint64_t shown) override;
  void OnPlace(const char* site, uint32_t actor, uint64_t place) override;

 private:
  TrueTime now_;
  uint64_t returned_ = 0;
  TrueTime answered_;  // both
  std::vector<TapeEntry> io_;
  std::vector<TapeEntry> arrivals_;
  std::vector<TapeEntry> client_arrivals_;
};

// A kind of case: the same faults at each place.
struct CaseKind {
  std::string name;
  Strikes strikes = Strikes::kIo;
  std::vector<TapeEntry> faults;  // at a place yet to be filled in
};

// The first one is without faults.
std::vector<CaseKind> AllCaseKinds();

// What strikes there.
std::vector<TapeEntry> FaultsAt(const CaseKind& kind, const TapeEntry& place);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_EXHAUSTIVE_CASES_H_
