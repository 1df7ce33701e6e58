#ifndef HOLDFAST_ENGINE_ENV_DISK_H_
#define HOLDFAST_ENGINE_ENV_DISK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/env/completion.h"

namespace holdfast {

// Rules for every operation of Disk and File:
// - It is asynchronous, may block a helper thread but never the Loop, and its
//   completion runs on the Loop, never inside the call that started it.
// - Destroying the Disk or File drops the completions of what it started; the
//   I/O itself may still happen, wholly or in part.
// - Errors: NOT_FOUND, ALREADY_EXISTS, RESOURCE_EXHAUSTED (disk full or
//   quota), PERMISSION_DENIED, FAILED_PRECONDITION (lock held by another),
//   DATA_LOSS (an I/O error of the device, of what only reads), INTERNAL (the
//   same of what changes something: nobody knows what the disk has then), with
//   the file's name in the text.

// An open file. Positions and sizes are in bytes.
class File {
 public:
  virtual ~File() = default;

  // Up to n bytes from `at`; fewer only where the file ends.
  virtual void Read(uint64_t at, size_t n, ResultFn<Buffer> done) = 0;

  // Writes all of `data` at `at`, extending the file if need be. The bytes
  // aren't durable before a Sync. A write that overlaps another still in
  // flight is a bug of the caller (CHECK). After an error any part of the
  // range may have been written.
  virtual void Write(uint64_t at, Buffers data, DoneFn done) = 0;

  // Makes durable the data and length of every write submitted before on
  // this File, completed or not, and fails if one of them failed. A failed
  // Sync is final: never retry it, the kernel may have dropped the pages
  // ("Can Applications Recover from fsync Failures?", ATC 2020).
  virtual void Sync(DoneFn done) = 0;

  // Cuts or zero-extends to `size`. Durable after the next Sync.
  virtual void Truncate(uint64_t size, DoneFn done) = 0;

  // Advice: nobody is likely to read this file soon, so that what is durable of
  // it needn't take up memory. Changes nothing that can be observed.
  virtual void DropCache() {}

  // As the file was when opened, changed by this File's completed writes and
  // truncations.
  virtual uint64_t size() const = 0;
};

struct FileInfo {
  std::string name;
  uint64_t size = 0;
};

enum class OpenMode {
  kExisting,   // read and write; NOT_FOUND when it isn't there
  kCreateNew,  // empty; ALREADY_EXISTS when it is there
};

// One server's data directory: flat, without subdirectories. Names are plain
// file names. A created, renamed or removed name is durable after SyncDir.
class Disk {
 public:
  virtual ~Disk() = default;

  virtual void Open(const std::string& name, OpenMode mode,
                    ResultFn<std::unique_ptr<File>> done) = 0;

  // Creates `name` with `size` written zeroes (so that later writes allocate
  // nothing), its data durable (its name only after SyncDir), and opens it.
  virtual void Allocate(const std::string& name, uint64_t size,
                        ResultFn<std::unique_ptr<File>> done) = 0;

  // All regular files, sorted by name.
  virtual void List(ResultFn<std::vector<FileInfo>> done) = 0;

  // Replaces `to` if it is there.
  virtual void Rename(const std::string& from, const std::string& to,
                      DoneFn done) = 0;
  virtual void Remove(const std::string& name, DoneFn done) = 0;
  virtual void SyncDir(DoneFn done) = 0;

  // Takes the directory for this process until the Disk is destroyed or the
  // process ends; FAILED_PRECONDITION when another process has it.
  virtual void Lock(DoneFn done) = 0;

  // Bytes that can still be written.
  virtual void FreeSpace(ResultFn<uint64_t> done) = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_ENV_DISK_H_
