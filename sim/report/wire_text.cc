#include "sim/report/wire_text.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/node/raft_codec.h"
#include "engine/peer/client.pb.h"
#include "engine/peer/hello.h"
#include "google/protobuf/text_format.h"

namespace holdfast {
namespace {

using Part = Exchange::Part;

// Long lists of entries by their ends.
std::string RaftText(const Message& m) {
  const std::string whole = ToString(m);
  const size_t at = whole.find(" term=");
  std::string text =
      at == std::string::npos ? whole : std::string(whole.substr(at + 1));
  if (m.entries.size() <= 4) return text;
  text.resize(text.find(" entries="));
  const EntryMeta& first = m.entries.front();
  const EntryMeta& last = m.entries.back();
  absl::StrAppend(&text, " entries=[", first.index.value(), "/",
                  first.term.value(), " .. ", last.index.value(), "/",
                  last.term.value(), "]");
  return text;
}

MessageGroup GroupOf(MessageType type) {
  switch (type) {
    case MessageType::kPreVoteRequest:
    case MessageType::kPreVoteAnswer:
    case MessageType::kVoteRequest:
    case MessageType::kVoteAnswer:
    case MessageType::kTimeoutNow:
      return MessageGroup::kVote;
    case MessageType::kAppendRequest:
    case MessageType::kAppendAnswer:
      return MessageGroup::kAppend;
    case MessageType::kHeartbeat:
    case MessageType::kHeartbeatAnswer:
      return MessageGroup::kHeartbeat;
  }
  return MessageGroup::kOther;
}

Exchange ExchangeOf(const Message& m) {
  Exchange e;
  e.topic = WireType::kRaft;
  const auto request = [&](uint64_t number) {
    e.part = Part::kRequest;
    e.raft_topic = static_cast<uint8_t>(m.type);
    e.number = number;
  };
  // To all that was asked so far.
  const auto answer = [&](MessageType to, uint64_t number = UINT64_MAX) {
    e.part = Part::kAnswer;
    e.raft_topic = static_cast<uint8_t>(to);
    e.number = number;
    e.up_to = true;
  };
  switch (m.type) {
    case MessageType::kPreVoteRequest:
    case MessageType::kVoteRequest:
    case MessageType::kHeartbeat:
      request(0);
      break;
    case MessageType::kAppendRequest:
      request(m.index.value() + m.entries.size());
      break;
    case MessageType::kPreVoteAnswer:
      answer(MessageType::kPreVoteRequest);
      break;
    case MessageType::kVoteAnswer:
      answer(MessageType::kVoteRequest);
      break;
    case MessageType::kHeartbeatAnswer:
      answer(MessageType::kHeartbeat);
      break;
    case MessageType::kAppendAnswer:
      answer(MessageType::kAppendRequest,
             m.rejected ? UINT64_MAX : m.index.value());
      break;
    case MessageType::kTimeoutNow:
      break;
  }
  return e;
}

WireText DescribeRaft(const MessageView& view) {
  const absl::StatusOr<ReceivedMessage> received =
      DecodeRaftMessage(view.header, view.payload);
  if (!received.ok()) {
    return {.name = "Raft", .text = std::string(received.status().message())};
  }
  const Message& m = received->message;
  return {.name = ToString(m.type),
          .group = GroupOf(m.type),
          .text = RaftText(m),
          .exchange = ExchangeOf(m)};
}

WireText DescribeChunk(const MessageView& view) {
  WireText out{.name = "CheckpointChunk", .group = MessageGroup::kCheckpoint};
  const absl::StatusOr<CheckpointChunk> chunk = DecodeChunkHeader(view.header);
  if (!chunk.ok()) return out;
  const uint64_t end = chunk->at + view.payload.size();
  out.text = absl::StrCat("term=", chunk->term.value(),
                          " index=", chunk->id.index.value(), " bytes ",
                          chunk->at, "..", end, " of ", chunk->id.bytes);
  out.exchange = {.part = Part::kRequest,
                  .topic = WireType::kCheckpointChunk,
                  .number = end};
  return out;
}

WireText DescribeChunkAnswer(const MessageView& view) {
  WireText out{.name = "CheckpointAnswer", .group = MessageGroup::kCheckpoint};
  const absl::StatusOr<CheckpointAnswer> answer =
      DecodeCheckpointAnswer(view.header);
  if (!answer.ok()) return out;
  out.text = absl::StrCat("term=", answer->term.value(),
                          " index=", answer->id.index.value(), " has ",
                          answer->received, " of ", answer->id.bytes);
  out.exchange = {.part = Part::kAnswer,
                  .topic = WireType::kCheckpointChunk,
                  .number = answer->received,
                  .up_to = true};
  return out;
}

WireText DescribeRepairQuestion(const MessageView& view) {
  WireText out{.name = "RepairQuestion", .group = MessageGroup::kRepair};
  const absl::StatusOr<RepairQuestion> q = DecodeRepairQuestion(view.header);
  if (!q.ok()) return out;
  out.text = absl::StrCat(
      "number=", q->number, " entries ", q->hole.first.value(), "..",
      q->hole.last.value(), "/", q->hole.last_term.value(),
      q->id.bytes == 0
          ? ""
          : absl::StrCat(" checkpoint=", q->id.index.value(), " at ", q->at));
  out.exchange = {.part = Part::kRequest,
                  .topic = WireType::kRepairQuestion,
                  .number = q->number};
  return out;
}

WireText DescribeRepairAnswer(const MessageView& view) {
  WireText out{.name = "RepairAnswer", .group = MessageGroup::kRepair};
  const absl::StatusOr<RepairAnswer> a =
      DecodeRepairAnswer(view.header, view.payload);
  if (!a.ok()) return out;
  const auto what = [&a]() -> std::string {
    switch (a->outcome) {
      case RepairOutcome::kEntries:
        if (a->entries.empty()) return "no entries";
        return absl::StrCat("entries ", a->entries.front().header.index.value(),
                            "..", a->entries.back().header.index.value());
      case RepairOutcome::kLacks:
        return absl::StrCat("lacks them, last=", a->log_index.value(), "/",
                            a->log_term.value());
      case RepairOutcome::kUnreadable:
        return "can't read them";
      case RepairOutcome::kCheckpoint:
        return absl::StrCat("has a checkpoint=", a->id.index.value());
      case RepairOutcome::kPart:
        return absl::StrCat("checkpoint=", a->id.index.value(), " at ", a->at);
    }
    return "?";
  };
  out.text = absl::StrCat("number=", a->number, " ", what());
  out.exchange = {.part = Part::kAnswer,
                  .topic = WireType::kRepairQuestion,
                  .number = a->number};
  return out;
}

WireText DescribeReadIndex(const MessageView& view) {
  const bool question = view.type == WireType::kReadIndexQuestion;
  WireText out{.name = question ? "ReadIndexQuestion" : "ReadIndexAnswer",
               .group = MessageGroup::kReadIndex};
  out.exchange.part = question ? Part::kRequest : Part::kAnswer;
  out.exchange.topic = WireType::kReadIndexQuestion;
  if (question) {
    const auto q = DecodeReadIndexQuestion(view.header);
    if (!q.ok()) return out;
    out.text = absl::StrCat("number=", q->number);
    out.exchange.number = q->number;
  } else {
    const auto a = DecodeReadIndexAnswer(view.header);
    if (!a.ok()) return out;
    out.text = absl::StrCat("number=", a->number,
                            a->index == Index() ? " refused" : "",
                            " index=", a->index.value());
    out.exchange.number = a->number;
  }
  return out;
}

WireText DescribeHello(const MessageView& view) {
  WireText out{.name = view.type == WireType::kHello ? "Hello" : "Refusal"};
  if (view.type == WireType::kHello) {
    const absl::StatusOr<Hello> hello = DecodeHello(view);
    if (hello.ok()) out.text = Describe(*hello);
  } else {
    const absl::StatusOr<Refusal> refusal = DecodeRefusal(view);
    if (refusal.ok()) out.text = OneLine(refusal->text);
  }
  return out;
}

// --- The clients' protocol ---

struct ClientMessage {
  WireType type;
  const char* name;
  Part part;
  bool (*read)(absl::string_view header, uint64_t* request_id,
               std::string* text);
};

template <typename Proto>
bool Read(absl::string_view header, uint64_t* request_id, std::string* text) {
  Proto proto;
  if (!proto.ParseFromArray(header.data(), static_cast<int>(header.size()))) {
    return false;
  }
  *request_id = proto.request_id();
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.PrintToString(proto, text);
  return true;
}

constexpr ClientMessage kClientMessages[] = {
    {WireType::kRegisterSession, "ClientRegisterSession", Part::kRequest,
     Read<wire::RegisterSession>},
    {WireType::kAppend, "ClientAppend", Part::kRequest, Read<wire::Append>},
    {WireType::kRead, "ClientRead", Part::kRequest, Read<wire::Read>},
    {WireType::kTail, "ClientTail", Part::kRequest, Read<wire::Tail>},
    {WireType::kTailCredit, "ClientTailCredit", Part::kNone,
     Read<wire::TailCredit>},
    {WireType::kStopTail, "ClientStopTail", Part::kNone, Read<wire::StopTail>},
    {WireType::kStatus, "ClientStatus", Part::kRequest, Read<wire::Status>},
    {WireType::kJoin, "ClientJoin", Part::kRequest, Read<wire::Join>},
    {WireType::kLeave, "ClientLeave", Part::kRequest, Read<wire::Leave>},
    {WireType::kTransfer, "ClientTransfer", Part::kRequest,
     Read<wire::Transfer>},
    {WireType::kTrim, "ClientTrim", Part::kRequest, Read<wire::Trim>},
    {WireType::kRegisterSessionAnswer, "ClientRegisterSessionAnswer",
     Part::kAnswer, Read<wire::RegisterSessionAnswer>},
    {WireType::kAppendAnswer, "ClientAppendAnswer", Part::kAnswer,
     Read<wire::AppendAnswer>},
    {WireType::kReadAnswer, "ClientReadAnswer", Part::kAnswer,
     Read<wire::ReadAnswer>},
    {WireType::kTailData, "ClientTailData", Part::kAnswer,
     Read<wire::TailData>},
    {WireType::kTailEnd, "ClientTailEnd", Part::kAnswer, Read<wire::TailEnd>},
    {WireType::kStatusAnswer, "ClientStatusAnswer", Part::kAnswer,
     Read<wire::StatusAnswer>},
    {WireType::kRequestRefused, "ClientRequestRefused", Part::kAnswer,
     Read<wire::RequestRefused>},
    {WireType::kAdminAnswer, "ClientAdminAnswer", Part::kAnswer,
     Read<wire::AdminAnswer>},
};

WireText DescribeClient(const MessageView& view) {
  const auto* row =
      std::find_if(std::begin(kClientMessages), std::end(kClientMessages),
                   [&](const ClientMessage& m) { return m.type == view.type; });
  if (row == std::end(kClientMessages)) {
    return {.name = "Unknown",
            .text = absl::StrCat("type ", static_cast<int>(view.type))};
  }
  WireText out{.name = row->name, .group = MessageGroup::kClient};
  uint64_t request_id = 0;
  std::string text;
  if (!row->read(view.header, &request_id, &text)) return out;
  out.text = absl::StrReplaceAll(text, {{": ", "="},
                                        {"APPEND_RESULT_", ""},
                                        {"REJECT_REASON_", ""},
                                        {"READ_MODE_", ""},
                                        {"CODE_", ""},
                                        {"request_id", "request"}});
  absl::StripTrailingAsciiWhitespace(&out.text);
  if (!view.payload.empty()) {
    absl::StrAppend(&out.text, " payload=", view.payload.size());
  }
  out.exchange = {.part = row->part,
                  .topic = WireType::kStatus,
                  .same_stream = true,
                  .number = request_id};
  return out;
}

}  // namespace

const char* ToString(MessageGroup group) {
  switch (group) {
    case MessageGroup::kAppend:
      return "append";
    case MessageGroup::kHeartbeat:
      return "heartbeat";
    case MessageGroup::kVote:
      return "vote";
    case MessageGroup::kReadIndex:
      return "read index";
    case MessageGroup::kRepair:
      return "repair";
    case MessageGroup::kCheckpoint:
      return "checkpoint";
    case MessageGroup::kClient:
      return "client";
    case MessageGroup::kOther:
      return "hello, ping";
    case MessageGroup::kTls:
      return "TLS record";
  }
  return "?";
}

WireText Describe(const MessageView& message) {
  switch (message.type) {
    case WireType::kRaft:
      return DescribeRaft(message);
    case WireType::kCheckpointChunk:
      return DescribeChunk(message);
    case WireType::kCheckpointAnswer:
      return DescribeChunkAnswer(message);
    case WireType::kReadIndexQuestion:
    case WireType::kReadIndexAnswer:
      return DescribeReadIndex(message);
    case WireType::kRepairQuestion:
      return DescribeRepairQuestion(message);
    case WireType::kRepairAnswer:
      return DescribeRepairAnswer(message);
    case WireType::kHello:
    case WireType::kRefusal:
      return DescribeHello(message);
    case WireType::kPing:
      return {.name = "Ping"};
    case WireType::kPong:
      return {.name = "Pong"};
    default:
      return DescribeClient(message);
  }
}

}  // namespace holdfast
