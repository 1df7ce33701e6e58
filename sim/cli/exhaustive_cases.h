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

// Where the faults of a case can strike: watches the small scope's run, up to a
// little after the second append was answered, when all servers know of it.
class Places final : public Observer {
 public:
  // Entries without a value: before which I/O of a server, before which
  // arrival of bytes from another server.
  const std::vector<TapeEntry>& io() const { return io_; }
  const std::vector<TapeEntry>& arrivals() const { return arrivals_; }

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
};

// A kind of case: the same faults at each place.
struct CaseKind {
  std::string name;
  bool at_arrivals = false;       // else before each I/O
  std::vector<TapeEntry> faults;  // at a place yet to be filled in
};

// The first one is without faults.
std::vector<CaseKind> AllCaseKinds();

// What strikes there.
std::vector<TapeEntry> FaultsAt(const CaseKind& kind, const TapeEntry& place);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_EXHAUSTIVE_CASES_H_
