#ifndef HOLDFAST_SIM_CLI_CODE_ID_H_
#define HOLDFAST_SIM_CLI_CODE_ID_H_

namespace holdfast {

// A hash of the sources that this program is compiled from: the engine, the
// simulator, and the TLS below it. However they are compiled, what a tape has
// is the same run; of other sources, it may be another one.
extern const char kCodeId[];

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_CODE_ID_H_
