#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/client/backup.h"
#include "transport/cli/command.h"
#include "transport/cli/connection.h"
#include "transport/cli/file_path.h"
#include "transport/posix_disk.h"

namespace holdfast {
namespace {

int RunBackup(const Args& args) {
  if (absl::Status s = args.Require({"out"}); !s.ok()) return FailWith(s);
  absl::StatusOr<FilePath> out = ParseFilePath("out", args.Text("out"));
  if (!out.ok()) return FailWith(out.status());
  absl::StatusOr<std::unique_ptr<ClientConnection>> c =
      ClientConnection::Open(args);
  if (!c.ok()) return FailWith(c.status());
  EpollLoop* loop = (*c)->loop();
  absl::StatusOr<std::unique_ptr<PosixDisk>> disk =
      PosixDisk::Open(loop, out->directory);
  if (!disk.ok()) return Fail(kExitFailed, disk.status().message());

  Backup backup(loop, (*c)->client(), (*c)->servers(), disk->get(), out->name,
                (*c)->timeout());
  absl::StatusOr<Backup::Result> result;
  backup.Run([&](absl::StatusOr<Backup::Result> done) {
    result = std::move(done);
    loop->Stop();
  });
  loop->Run();
  if (!result.ok()) {
    return FailWith(
        absl::Status(result.status().code(),
                     absl::StrCat("backup: ", result.status().message())));
  }
  std::printf(
      "%s\n",
      absl::StrCat("offsets ", result->header.first_offset.value(), " to ",
                   result->header.end_offset.value(), " (exclusive), ",
                   result->counts.batches, " batches, ", result->bytes,
                   " bytes, in ", args.Text("out"))
          .c_str());
  return kExitDone;
}

}  // namespace

Command BackupCommand() {
  return {"backup", "writes the whole log into a file, while the cluster runs",
          WithConnectionFlags({{"out", "FILE", "the file; made anew"}},
                              "how long to try for each stretch of the log; "
                              "30s"),
          RunBackup};
}

}  // namespace holdfast
