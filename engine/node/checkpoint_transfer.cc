#include "engine/node/checkpoint_transfer.h"

#include <algorithm>
#include <utility>

#include "engine/node/cold_read_pace.h"

namespace holdfast {

void CheckpointSender::SetReceivers(const std::vector<ServerId>& receivers,
                                    const CheckpointId& id,
                                    const Buffer& checkpoint, Term term) {
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
  if (transfer.at < transfer.id.bytes) SendNext(from, &transfer);
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
