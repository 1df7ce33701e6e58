#ifndef HOLDFAST_TESTS_DISKS_JOURNAL_H_
#define HOLDFAST_TESTS_DISKS_JOURNAL_H_

#include <cstdint>

namespace holdfast {

// What volatile_disk.cc writes down of a server's calls, and lose_power.cc
// reads when the server has been killed: one record for each call, in the order
// in which they took effect, each followed by its names, without ends, and by
// its bytes.
struct JournalRecord {
  enum Kind : uint32_t {
    kWrite = 1,     // at `at`; the bytes that were there before
    kTruncate = 2,  // the bytes that were cut off, from `at` on
    kCreate = 3,    // of name
    kRename = 4,    // of name to other; other's file is kept as `kept`
    kRemove = 5,    // of name; its file is kept as `kept`
    kSync = 6,      // of the file `inode`: up to record `at`
    kSyncNames = 7  // of the directory, likewise
  };
  uint32_t kind = 0;
  uint32_t kept = 0;  // a file of the journal's directory; 0: none
  uint64_t inode = 0;
  uint64_t at = 0;
  uint64_t length = 0;    // that was written
  uint64_t old_size = 0;  // of the file
  uint32_t name_bytes = 0;
  uint32_t other_bytes = 0;
  uint64_t bytes = 0;
};

// The file of them, in the directory that $VOLATILE_DISK names.
inline constexpr char kJournalName[] = "journal";

}  // namespace holdfast

#endif  // HOLDFAST_TESTS_DISKS_JOURNAL_H_
