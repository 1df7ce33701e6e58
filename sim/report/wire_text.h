#ifndef HOLDFAST_SIM_REPORT_WIRE_TEXT_H_
#define HOLDFAST_SIM_REPORT_WIRE_TEXT_H_

#include <cstdint>
#include <string>

#include "engine/peer/message.h"

namespace holdfast {

// What kinds of messages have one colour, and are shown or hidden together.
enum class MessageGroup : uint8_t {
  kAppend = 0,  // entries and their acknowledgements
  kHeartbeat,
  kVote,  // and pre-votes, and TimeoutNow
  kReadIndex,
  kRepair,
  kCheckpoint,
  kClient,
  kOther,  // hellos, refusals, pings
  kTls,    // records, whatever is in them
};
const char* ToString(MessageGroup group);

// How a message belongs to another one.
struct Exchange {
  enum class Part : uint8_t { kNone, kRequest, kAnswer };
  Part part = Part::kNone;
  // Of requests and their answers: the same.
  WireType topic = WireType::kHello;
  uint8_t raft_topic = 0;
  // Both go over one stream; otherwise any between the two machines.
  bool same_stream = false;
  // An answer is to the request of this number; or with `up_to` to all those
  // with no greater one.
  uint64_t number = 0;
  bool up_to = false;
};

// A message of the product's protocols, decoded by the product's own decoders,
// for people.
struct WireText {
  const char* name = "";  // "AppendRequest", "ClientAppend", "Ping"
  MessageGroup group = MessageGroup::kOther;
  std::string text;  // "term=3 prev=7/2 commit=7 entries=[8/3]"
  Exchange exchange;
};
WireText Describe(const MessageView& message);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_WIRE_TEXT_H_
