#include "sim/file_image.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/check.h"

namespace holdfast {

// --- SparseBytes ---

Buffer SparseBytes::Read(uint64_t at, size_t n) const {
  if (at >= size_) return Buffer();
  n = std::min<uint64_t>(n, size_ - at);
  Buffer out = Buffer::Uninitialized(n);
  char* to = out.data_mutable();
  while (n > 0) {
    const size_t page = at / kPage;
    const size_t offset = at % kPage;
    const size_t part = std::min(n, kPage - offset);
    if (page < pages_.size() && pages_[page] != nullptr) {
      std::memcpy(to, pages_[page].get() + offset, part);
    } else {
      std::memset(to, 0, part);
    }
    to += part;
    at += part;
    n -= part;
  }
  return out;
}

void SparseBytes::Write(uint64_t at, const char* data, size_t n) {
  size_ = std::max(size_, at + n);
  while (n > 0) {
    const size_t page = at / kPage;
    const size_t offset = at % kPage;
    const size_t part = std::min(n, kPage - offset);
    if (page >= pages_.size()) pages_.resize(page + 1);
    if (pages_[page] == nullptr) {
      pages_[page] = std::make_unique<char[]>(kPage);  // zeroes
      ++pages_written_;
    }
    std::memcpy(pages_[page].get() + offset, data, part);
    data += part;
    at += part;
    n -= part;
  }
}

void SparseBytes::Resize(uint64_t size) {
  if (size < size_) {
    const size_t pages = (size + kPage - 1) / kPage;
    for (size_t i = pages; i < pages_.size(); ++i) {
      if (pages_[i] != nullptr) --pages_written_;
    }
    if (pages_.size() > pages) pages_.resize(pages);
    // What is cut reads as zeroes if the file grows again.
    const size_t used = size % kPage;
    if (used != 0 && pages_.size() == pages && pages_.back() != nullptr) {
      std::memset(pages_.back().get() + used, 0, kPage - used);
    }
  }
  size_ = size;
}

SparseBytes SparseBytes::Copy() const {
  SparseBytes copy;
  copy.size_ = size_;
  copy.pages_written_ = pages_written_;
  copy.pages_.resize(pages_.size());
  for (size_t i = 0; i < pages_.size(); ++i) {
    if (pages_[i] == nullptr) continue;
    copy.pages_[i] = std::make_unique<char[]>(kPage);
    std::memcpy(copy.pages_[i].get(), pages_[i].get(), kPage);
  }
  return copy;
}

bool SparseBytes::HasWritten(uint64_t at) const {
  const uint64_t page = at / kPage;
  return page < pages_.size() && pages_[page] != nullptr;
}

// --- FileImage ---

FileImage::FileImage(uint64_t size) {
  now_.Resize(size);
  durable_.Resize(size);
}

void FileImage::Apply(const Change& change, SparseBytes* to) {
  if (change.truncation) return to->Resize(change.at);
  uint64_t at = change.at;
  for (const Buffer& b : change.data) {
    if (!b.empty()) to->Write(at, b.data(), b.size());
    at += b.size();
  }
}

void FileImage::ApplyTorn(const Change& change, const Fate& fate,
                          SparseBytes* to, Torn* torn) {
  uint64_t at = change.at;
  bool any_kept = false;
  bool any_lost = false;
  for (const Buffer& b : change.data) {
    for (size_t from = 0; from < b.size();) {
      const size_t part =
          std::min<uint64_t>(kSector - at % kSector, b.size() - from);
      const bool kept = fate.keeps_sector(at / kSector);
      if (kept) to->Write(at, b.data() + from, part);
      (kept ? any_kept : any_lost) = true;
      from += part;
      at += part;
    }
  }
  if (fate.keeps_length && to->size() < at) {
    to->Resize(at);
    ++torn->length_first;
  }
  if (fate.between_pages && any_kept && any_lost) ++torn->between_pages;
}

void FileImage::Write(uint64_t number, uint64_t at, Buffers data) {
  if (!refused_.empty()) {
    const uint64_t end = at + TotalSize(data);
    std::erase_if(refused_, [at, end](const Range& r) {
      return r.from < end && at < r.to;
    });
  }
  unsynced_.push_back({number, false, at, std::move(data)});
  Apply(unsynced_.back(), &now_);
}

void FileImage::Truncate(uint64_t number, uint64_t size) {
  unsynced_.push_back({number, true, size, {}});
  Apply(unsynced_.back(), &now_);
}

std::vector<FileImage::Change> FileImage::TakeBefore(uint64_t number) {
  std::vector<Change> taken;
  std::vector<Change> kept;
  for (Change& change : unsynced_) {
    (change.number < number ? taken : kept).push_back(std::move(change));
  }
  unsynced_ = std::move(kept);
  durable_changes_ += taken.size();
  ++syncs_;
  return taken;
}

void FileImage::Remember(const Change& change) {
  constexpr size_t kPages = 2;
  if (change.truncation) {
    std::erase_if(earlier_, [&change](const Earlier& e) {
      return e.from + kPage > change.at;
    });
    return;
  }
  // Behind the first one there is nothing to replace: files grow, unless they
  // are that small.
  const uint64_t from = change.at / kPage * kPage;
  if (!durable_.HasWritten(from)) return;
  const auto known =
      std::find_if(earlier_.begin(), earlier_.end(),
                   [from](const Earlier& e) { return e.from == from; });
  if (known != earlier_.end()) {
    // The device is given a page once, with all changes of it.
    if (known->sync == syncs_) return;
    earlier_.erase(known);
  } else if (earlier_.size() == kPages) {
    earlier_.erase(earlier_.begin());
  }
  earlier_.push_back({from, syncs_, durable_.Read(from, kPage)});
}

void FileImage::ApplyFated(const Change& change, const FateFn& fate,
                           SparseBytes* to, Torn* torn) {
  const Fate drawn = fate(change.truncation);
  if (drawn.lost) return;
  if (drawn.keeps_sector == nullptr) {
    Apply(change, to);
  } else {
    ApplyTorn(change, drawn, to, torn);
  }
}

void FileImage::SyncBefore(uint64_t number) {
  for (const Change& change : TakeBefore(number)) {
    Remember(change);
    Apply(change, &durable_);
  }
}

FileImage::Torn FileImage::FailSyncBefore(uint64_t number, const FateFn& fate,
                                          bool reverts) {
  Torn torn;
  for (const Change& change : TakeBefore(number)) {
    Remember(change);
    ApplyFated(change, fate, &durable_, &torn);
  }
  sync_failed_ = true;
  if (!reverts) return torn;
  now_ = durable_.Copy();
  for (const Change& change : unsynced_) Apply(change, &now_);
  return torn;
}

FileImage::Torn FileImage::LosePower(const FateFn& fate) {
  Torn torn;
  if (unsynced_.empty() && !sync_failed_) return torn;  // the images are alike
  for (const Change& change : TakeBefore(UINT64_MAX)) {
    Remember(change);
    ApplyFated(change, fate, &durable_, &torn);
  }
  sync_failed_ = false;
  now_ = durable_.Copy();
  return torn;
}

std::shared_ptr<FileImage> FileImage::CopyDurable() const {
  auto copy = std::make_shared<FileImage>(0);
  copy->now_ = durable_.Copy();
  copy->durable_ = durable_.Copy();
  copy->durable_changes_ = durable_changes_;
  copy->damages_ = damages_;
  copy->refused_ = refused_;
  copy->syncs_ = syncs_;
  copy->earlier_ = earlier_;
  copy->stale_ = stale_;
  return copy;
}

uint64_t FileImage::memory_bytes() const {
  uint64_t bytes = now_.memory_bytes() + durable_.memory_bytes();
  for (const Change& change : unsynced_) bytes += TotalSize(change.data);
  for (const Earlier& e : earlier_) bytes += e.bytes.size();
  return bytes;
}

bool FileImage::Refuses(uint64_t from, uint64_t to) const {
  return std::any_of(
      refused_.begin(), refused_.end(),
      [from, to](const Range& r) { return r.from < to && from < r.to; });
}

bool FileImage::AtRest(uint64_t from, uint64_t to) const {
  if (sync_failed_) return false;
  return std::none_of(
      unsynced_.begin(), unsynced_.end(), [&](const Change& change) {
        if (change.truncation) return to > std::min(change.at, durable_.size());
        return change.at < to && from < change.at + TotalSize(change.data);
      });
}

void FileImage::Overwrite(uint64_t from, const Buffer& bytes) {
  CHECK(AtRest(from, from + bytes.size()));
  for (SparseBytes* image : {&now_, &durable_}) {
    image->Write(from, bytes.data(), bytes.size());
  }
  ++damages_;
}

void FileImage::MakeStale(uint64_t from, const Buffer& bytes) {
  Overwrite(from, bytes);
  std::erase_if(stale_, [this, from](const Earlier& s) {
    return s.from == from || !Stands(s);
  });
  stale_.push_back({from, syncs_, bytes});
}

bool FileImage::Stands(const Earlier& page) const {
  return durable_.Read(page.from, page.bytes.size()).view() ==
         page.bytes.view();
}

bool FileImage::stale() const {
  return std::any_of(stale_.begin(), stale_.end(),
                     [this](const Earlier& s) { return Stands(s); });
}

void FileImage::CutShort(uint64_t size) {
  CHECK_LE(size, durable_.size());
  CHECK(AtRest(size, UINT64_MAX));
  now_.Resize(size);
  durable_.Resize(size);
  ++damages_;
}

// --- NameTable ---

std::shared_ptr<FileImage> NameTable::Find(const std::string& name) const {
  const auto it = now_.find(name);
  return it == now_.end() ? nullptr : it->second;
}

void NameTable::Apply(const Change& change, Files* to) {
  if (change.file == nullptr) {
    to->erase(change.name);
    return;
  }
  (*to)[change.name] = change.file;
  if (change.renamed_from.empty()) return;
  const auto it = to->find(change.renamed_from);
  if (it != to->end() && it->second == change.file) to->erase(it);
}

void NameTable::Make(Change change) {
  Apply(change, &now_);
  unsynced_.push_back(std::move(change));
}

void NameTable::MakeDurable(const Change& change) {
  Apply(change, &durable_);
  vanished_.erase(change.name);
}

void NameTable::Vanish(const std::string& name) {
  const std::shared_ptr<FileImage> file = Find(name);
  CHECK(file != nullptr && durable_.at(name) == file);
  file->CutShort(0);
  now_.erase(name);
  durable_.erase(name);
  vanished_[name] = file;
  ++durable_changes_;
}

NameTable NameTable::CopyDurable() const {
  NameTable copy;
  for (const auto& [name, file] : durable_) {
    copy.now_[name] = file->CopyDurable();
  }
  copy.durable_ = copy.now_;
  return copy;
}

uint64_t NameTable::memory_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, file] : now_) bytes += file->memory_bytes();
  for (const auto& [name, file] : durable_) {
    if (Find(name) != file) bytes += file->memory_bytes();
  }
  return bytes;
}

void NameTable::Add(uint64_t number, const std::string& name,
                    std::shared_ptr<FileImage> file) {
  CHECK(!now_.contains(name));
  Make({number, name, std::move(file), ""});
}

void NameTable::Remove(uint64_t number, const std::string& name) {
  Make({number, name, nullptr, ""});
}

void NameTable::Rename(uint64_t number, const std::string& from,
                       const std::string& to) {
  Make({number, to, Find(from), from});
}

void NameTable::SyncBefore(uint64_t number) {
  std::erase_if(unsynced_, [&](const Change& change) {
    if (change.number >= number) return false;
    MakeDurable(change);
    ++durable_changes_;
    return true;
  });
}

void NameTable::Lose(uint64_t number, const std::function<bool()>& lost) {
  std::erase_if(unsynced_, [&](const Change& change) {
    if (change.number >= number) return false;
    if (!lost()) MakeDurable(change);
    ++durable_changes_;
    return true;
  });
}

void NameTable::FailSyncBefore(uint64_t number,
                               const std::function<bool()>& lost) {
  Lose(number, lost);
  sync_failed_ = true;
}

void NameTable::ProcessDied() {
  if (!std::exchange(sync_failed_, false)) return;
  now_ = durable_;
  for (const Change& change : unsynced_) Apply(change, &now_);
}

void NameTable::LosePower(const std::function<bool()>& lost) {
  Lose(UINT64_MAX, lost);
  now_ = durable_;
}

}  // namespace holdfast
