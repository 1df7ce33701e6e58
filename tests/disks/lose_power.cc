// lose_power JOURNAL-DIRECTORY DATA-DIRECTORY SEED
//
// What a failure of the power leaves of a data directory whose server has run
// above volatile_disk.so and was killed: of each file's bytes that weren't
// synced some sectors are as they were before; of the names that weren't, the
// last ones are (as file systems with a journal have it). The journal goes.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/disks/journal.h"

namespace holdfast {
namespace {

constexpr uint64_t kSector = 512;

struct Change {
  JournalRecord record;
  std::string name;
  std::string other;
  std::string bytes;
};

[[noreturn]] void Die(const std::string& what) {
  fprintf(stderr, "lose_power: %s: %s\n", what.c_str(), strerror(errno));
  exit(1);
}

// The last record may have been cut short by the kill: then it took no effect.
std::vector<Change> Load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(in),
                        std::istreambuf_iterator<char>()};
  std::vector<Change> changes;
  size_t at = 0;
  while (all.size() - at >= sizeof(JournalRecord)) {
    Change change;
    memcpy(&change.record, &all[at], sizeof(JournalRecord));
    const JournalRecord& r = change.record;
    const uint64_t behind = r.name_bytes + r.other_bytes + r.bytes;
    if (all.size() - at - sizeof(JournalRecord) < behind) break;
    at += sizeof(JournalRecord);
    change.name = all.substr(at, r.name_bytes);
    change.other = all.substr(at + r.name_bytes, r.other_bytes);
    change.bytes = all.substr(at + r.name_bytes + r.other_bytes, r.bytes);
    at += behind;
    changes.push_back(std::move(change));
  }
  return changes;
}

class PowerLoss {
 public:
  PowerLoss(std::string journal, std::string data, uint64_t seed)
      : journal_(std::move(journal)), data_(std::move(data)), chance_(seed) {}

  void Run() {
    const std::vector<Change> changes = Load(journal_ + "/" + kJournalName);
    FindFiles();
    std::map<uint64_t, uint64_t> synced;  // by inode, up to which change
    uint64_t names_synced = 0;
    std::vector<uint64_t> unsynced_names;
    for (const Change& change : changes) {
      const JournalRecord& r = change.record;
      if (r.kind == JournalRecord::kSync) synced[r.inode] = r.at;
      if (r.kind == JournalRecord::kSyncNames) names_synced = r.at;
    }
    for (uint64_t i = names_synced; i < changes.size(); ++i) {
      if (IsOfNames(changes[i].record.kind)) unsynced_names.push_back(i);
    }
    const size_t names_kept = Draw(unsynced_names.size() + 1);
    for (uint64_t i = changes.size(); i > 0; --i) {
      const JournalRecord& r = changes[i - 1].record;
      if (r.kind == JournalRecord::kWrite && i > synced[r.inode]) {
        TakeBackWrite(changes[i - 1]);
      } else if (r.kind == JournalRecord::kTruncate && i > synced[r.inode]) {
        if (Draw(2) == 0) TakeBackTruncation(changes[i - 1]);
      }
    }
    for (size_t n = unsynced_names.size(); n > names_kept; --n) {
      TakeBackName(changes[unsynced_names[n - 1]]);
    }
    printf("%zu changes; %llu writes lost, %llu torn, %zu of %zu names lost\n",
           changes.size(), static_cast<unsigned long long>(lost_),
           static_cast<unsigned long long>(torn_),
           unsynced_names.size() - names_kept, unsynced_names.size());
    std::filesystem::remove_all(journal_);
  }

 private:
  static bool IsOfNames(uint32_t kind) {
    return kind == JournalRecord::kCreate || kind == JournalRecord::kRename ||
           kind == JournalRecord::kRemove;
  }
  uint64_t Draw(uint64_t below) { return chance_() % below; }

  // Also those that only the journal still has a name for.
  void FindFiles() {
    for (const std::string& directory : {journal_, data_}) {
      for (const auto& file : std::filesystem::directory_iterator(directory)) {
        struct stat info;
        if (stat(file.path().c_str(), &info) != 0) Die(file.path());
        files_[info.st_ino] = file.path();
      }
    }
  }

  int Open(uint64_t inode) {
    const auto it = files_.find(inode);
    if (it == files_.end()) return -1;
    const int fd = open(it->second.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) Die(it->second);
    return fd;
  }

  static void Write(int fd, const std::string& bytes, uint64_t at) {
    if (pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)) !=
        static_cast<ssize_t>(bytes.size())) {
      Die("write");
    }
  }

  void TakeBackWrite(const Change& change) {
    const JournalRecord& r = change.record;
    const uint64_t fate = Draw(3);  // it stays, is lost, is torn
    if (fate == 0) return;
    const int fd = Open(r.inode);
    if (fd < 0) return;  // it has no name any more
    ++(fate == 1 ? lost_ : torn_);
    // The length is there, the bytes aren't.
    std::string before = change.bytes;
    before.resize(r.length, '\0');
    for (uint64_t from = r.at; from < r.at + r.length;) {
      const uint64_t to =
          std::min((from / kSector + 1) * kSector, r.at + r.length);
      if (fate == 1 || Draw(2) == 0) {
        Write(fd, before.substr(from - r.at, to - from), from);
      }
      from = to;
    }
    close(fd);
  }

  void TakeBackTruncation(const Change& change) {
    const JournalRecord& r = change.record;
    const int fd = Open(r.inode);
    if (fd < 0) return;
    if (ftruncate(fd, static_cast<off_t>(r.old_size)) != 0) Die("ftruncate");
    Write(fd, change.bytes, r.at);
    close(fd);
  }

  void TakeBackName(const Change& change) {
    const JournalRecord& r = change.record;
    const std::string name = data_ + "/" + change.name;
    const std::string other = data_ + "/" + change.other;
    const std::string kept = journal_ + "/" + std::to_string(r.kept);
    std::error_code failed;
    if (r.kind == JournalRecord::kCreate) {
      std::filesystem::remove(name, failed);
    } else if (r.kind == JournalRecord::kRename) {
      std::filesystem::rename(other, name, failed);
      if (!failed && r.kept != 0) std::filesystem::rename(kept, other, failed);
    } else if (r.kept != 0) {
      std::filesystem::rename(kept, name, failed);
    }
    if (failed) Die(name);
  }

  const std::string journal_;
  const std::string data_;
  std::mt19937_64 chance_;
  std::map<uint64_t, std::string> files_;  // by inode
  uint64_t lost_ = 0;
  uint64_t torn_ = 0;
};

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr,
            "usage: lose_power JOURNAL-DIRECTORY DATA-DIRECTORY SEED\n");
    return 64;
  }
  holdfast::PowerLoss(argv[1], argv[2], strtoull(argv[3], nullptr, 10)).Run();
  return 0;
}
