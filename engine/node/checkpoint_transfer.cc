#include "engine/node/checkpoint_transfer.h"

#include <algorithm>
#include <utility>

#include "engine/node/cold_read_pace.h"

namespace holdfast {

void CheckpointSender::SetReceivers(const std::vector<ServerId>& receivers,
                                    const CheckpointId& id,
                                    const Buffer& checkpoint, Term term) {
  if (std::exchange(term_, term) != term) holds_.clear();
  for (auto it = transfers_.begin(); it != transfers_.end();) {
    const bool wanted = std::find(receivers.begin(), receivers.end(),
                                  it->first) != receivers.end();
    it = wanted ? std::next(it) : transfers_.erase(it);
  }
  for (ServerId to : receivers) {
    Transfer& transfer = transfers_[to];
    // What is under way is finished, though there be a newer one: it may be
    // all that is needed, and newer ones may come faster than they can be sent.
    const bool under_way =
        transfer.term == term && transfer.at < transfer.id.bytes;
    if (under_way || (transfer.term == term && transfer.id == id)) continue;
    transfer = Transfer{.id = id,
                        .bytes = checkpoint,
                        .term = term,
                        .at = 0,
                        .not_before = transfer.not_before,
                        .next = {}};
    ++stats_.begun;
    holds_[to] = Hold{.at = id.index, .since = loop_->Now(), .left = id.bytes};
    SendNext(to, &transfer);
  }
}

void CheckpointSender::Send(ServerId to, Transfer* transfer) {
  // At its end, too: the last answer may have been lost, or the receiver may
  // not have been ready for all of it.
  const uint64_t length =
      std::min<uint64_t>(chunk_bytes_, transfer->id.bytes - transfer->at);
  CheckpointChunk chunk;
  chunk.to = to;
  chunk.term = transfer->term;
  chunk.id = transfer->id;
  chunk.at = transfer->at;
  transfer->not_before = loop_->Now() + TimeFor(length, bytes_per_second_max_);
  transfer->next = loop_->After(kRetry, [this, to] {
    auto it = transfers_.find(to);
    if (it == transfers_.end()) return;
    ++stats_.repeated;
    Send(to, &it->second);
  });
  send_(chunk, transfer->bytes.Slice(transfer->at, length));
}

void CheckpointSender::SendNext(ServerId to, Transfer* transfer) {
  if (loop_->Now() >= transfer->not_before) return Send(to, transfer);
  ++stats_.paced;
  transfer->next = loop_->At(transfer->not_before, [this, to] {
    auto it = transfers_.find(to);
    if (it != transfers_.end()) Send(to, &it->second);
  });
}

void CheckpointSender::OnAnswer(ServerId from, const CheckpointAnswer& answer) {
  auto it = transfers_.find(from);
  if (it == transfers_.end()) return;
  Transfer& transfer = it->second;
  if (answer.term != transfer.term || answer.id != transfer.id ||
      answer.received > transfer.id.bytes || answer.received == transfer.at) {
    return;
  }
  if (transfer.at == 0 && answer.received > chunk_bytes_) ++stats_.resumed;
  transfer.at = answer.received;
  // More than ever: one that dies again and again doesn't get on.
  const uint64_t left = transfer.id.bytes - answer.received;
  if (const auto held = holds_.find(from);
      held != holds_.end() && left < held->second.left) {
    held->second.left = left;
    held->second.since = loop_->Now();
  }
  if (transfer.at < transfer.id.bytes) SendNext(from, &transfer);
}

std::optional<Index> CheckpointSender::HeldFor(ServerId receiver, Index match,
                                               Index enough, Index commit) {
  const auto it = holds_.find(receiver);
  if (it == holds_.end()) return std::nullopt;
  Hold& hold = it->second;
  if (match >= enough) {
    holds_.erase(it);
    return std::nullopt;
  }
  if (match >= hold.at) {
    const uint64_t lacks = commit - std::min(match, commit);
    if (!hold.installed || lacks < hold.lacks) {
      hold.lacks = lacks;
      hold.since = loop_->Now();
    }
    hold.installed = true;
    hold.at = match;
  }
  const bool writes = !hold.installed && hold.left == 0;
  const Duration patience = writes ? kWritePatience : kPatience;
  if (loop_->Now() - hold.since > patience) return std::nullopt;
  return hold.at;
}

CheckpointAnswer CheckpointReceiver::OnChunk(const CheckpointChunk& chunk,
                                             absl::string_view bytes) {
  if (chunk.id != id_) {
    Clear();
    id_ = chunk.id;
  }
  if (chunk.at == bytes_.size() && bytes.size() <= id_.bytes - bytes_.size()) {
    bytes_.append(bytes.data(), bytes.size());
  }
  CheckpointAnswer answer;
  answer.to = chunk.from;
  answer.term = chunk.term;
  answer.id = id_;
  answer.received = bytes_.size();
  return answer;
}

void CheckpointReceiver::Clear() {
  id_ = CheckpointId{};
  bytes_.clear();
  bytes_.shrink_to_fit();
}

}  // namespace holdfast
