#ifndef HOLDFAST_ENGINE_CLIENT_BACKUP_H_
#define HOLDFAST_ENGINE_CLIENT_BACKUP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/base/image.h"
#include "engine/client/client.h"
#include "engine/client/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"

namespace holdfast {

// Writes a running cluster's log into a file, as an image
// (engine/base/image.h): from its first record to where it ended when the
// backup began, so that all that was acknowledged before is in it. A stretch
// is in memory at a time. The file has its name only once it is whole and
// durable; until then it has ".partial" behind it.
//
// One backup, once:
//
//   Backup backup(loop, &client, servers, disk, "log.image", 30s);
//   backup.Run([](absl::StatusOr<Backup::Result> result) { ... });
class Backup {
 public:
  struct Result {
    ImageHeader header;
    ImageCounts counts;
    uint64_t bytes = 0;
  };

  // `servers`: of the cluster, at least one. `timeout`: of each request. Client
  // and disk outlive it.
  Backup(Loop* loop, Client* client, std::vector<Address> servers, Disk* disk,
         std::string name, Duration timeout);

  // ALREADY_EXISTS: there is such a file, or its partial one. ABORTED: the log
  // was trimmed meanwhile, beyond what was read. Else the client's and the
  // disk's errors. After an error there is neither file.
  void Run(ResultFn<Result> done);

 private:
  void CheckAbsent(const std::string& name, const char* what, Task then);
  // Where the log begins, and whose it is, as the next of the servers says;
  // `why` the one before was of no help.
  void AskNext(absl::Status why);
  void Read();
  void Begin(ClientReadResult first);
  void Take(const ClientReadResult& result);
  void Write(Buffers data, Task then);
  void Finish();
  void Publish();
  DoneFn Then(Task then);
  // After an error, the partial file goes first.
  void Done(absl::Status status);

  Loop* const loop_;
  Client* const client_;
  const std::vector<Address> servers_;
  Disk* const disk_;
  const std::string name_;
  const std::string partial_;
  ClientReadOptions options_;
  std::unique_ptr<File> file_;
  ImageEncoder encoder_;
  Result result_;
  size_t asked_ = 0;    // of the servers
  bool begun_ = false;  // end_offset is known
  Offset next_;
  ResultFn<Result> done_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_BACKUP_H_
