// restore and recover: a new cluster of one server, from what is left.

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/configuration.h"
#include "engine/base/lost_records.h"
#include "engine/env/address.h"
#include "engine/log/recover.h"
#include "engine/log/restore.h"
#include "transport/cli/command.h"
#include "transport/cli/file_path.h"
#include "transport/epoll_loop.h"
#include "transport/posix_disk.h"
#include "transport/random_seed.h"

namespace holdfast {
namespace {

std::vector<FlagSpec> WithServerFlags(std::vector<FlagSpec> flags) {
  flags.insert(
      flags.end(),
      {{"id", "ID", "the new server's id, a number above 0"},
       {"advertise", "HOST:PORT", "how the others will reach it"},
       {"cluster", "NAME",
        "the new cluster's name; as it was unless told otherwise, and the "
        "same as in the certificates"}});
  return flags;
}

absl::StatusOr<NewClusterOptions> ParseServer(const Args& args) {
  if (absl::Status s = args.Require({"id", "advertise"}); !s.ok()) return s;
  NewClusterOptions options;
  absl::StatusOr<uint64_t> id = args.Number("id", 0, 1, UINT64_MAX);
  if (!id.ok()) return id.status();
  options.id = ServerId(*id);
  options.advertise = args.Text("advertise");
  if (absl::StatusOr<HostPort> parsed = ParseAddress(options.advertise);
      !parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--advertise: ", parsed.status().message()));
  }
  if (options.advertise.size() > Configuration::kAddressBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("--advertise: expected at most ",
                     Configuration::kAddressBytesMax, " bytes"));
  }
  options.cluster_name = args.Text("cluster");
  options.seed = RandomSeed();
  return options;
}

// Runs a Restore or a Recover to its end.
template <typename Work>
absl::StatusOr<typename Work::Result> RunToEnd(EpollLoop* loop, Work* work) {
  absl::StatusOr<typename Work::Result> result;
  work->Run([&](absl::StatusOr<typename Work::Result> done) {
    result = std::move(done);
    loop->Stop();
  });
  loop->Run();
  return result;
}

int FailAt(absl::string_view what, const absl::Status& status) {
  return Fail(kExitFailed, absl::StrCat(what, ": ", status.message()));
}

void PrintNext(const std::string& directory, const NewClusterOptions& options,
               ClusterId cluster) {
  std::printf("%s\n", absl::StrCat(
                          "server ", options.id.value(), " of the new cluster ",
                          absl::Hex(cluster.value(), absl::kZeroPad16),
                          " is in ", directory,
                          "; start it, and join servers with empty directories")
                          .c_str());
}

int RunRestore(const Args& args) {
  if (absl::Status s = args.Require({"in", "data-dir"}); !s.ok()) {
    return FailWith(s);
  }
  absl::StatusOr<NewClusterOptions> options = ParseServer(args);
  if (!options.ok()) return FailWith(options.status());
  absl::StatusOr<FilePath> in = ParseFilePath("in", args.Text("in"));
  if (!in.ok()) return FailWith(in.status());
  EpollLoop loop;
  absl::StatusOr<std::unique_ptr<PosixDisk>> image_disk =
      PosixDisk::OpenReadOnly(&loop, in->directory);
  if (!image_disk.ok()) return FailAt("restore", image_disk.status());
  absl::StatusOr<std::unique_ptr<PosixDisk>> new_disk =
      PosixDisk::Open(&loop, args.Text("data-dir"));
  if (!new_disk.ok()) return FailAt("restore", new_disk.status());

  Restore restore(&loop, image_disk->get(), in->name, new_disk->get(),
                  *options);
  absl::StatusOr<Restore::Result> result = RunToEnd(&loop, &restore);
  if (!result.ok()) return FailAt("restore", result.status());
  std::printf(
      "%s\n",
      absl::StrCat("restored offsets ", result->header.first_offset.value(),
                   " to ", result->header.end_offset.value(), " (exclusive), ",
                   result->counts.batches, " batches, of cluster ",
                   absl::Hex(result->header.cluster.value(), absl::kZeroPad16))
          .c_str());
  PrintNext(args.Text("data-dir"), *options, result->cluster);
  return kExitDone;
}

// Of what only people can decide.
constexpr char kDataLoss[] =
    "recover: expected --accept-data-loss. What a majority had acknowledged "
    "and this server had not yet received will be lost, and nobody can tell "
    "how much that is; its last records, that were never acknowledged, may "
    "appear. If a majority of the servers can come back, start them instead. "
    "Nothing was changed";

// The directories of --also, of which none is another one that was given.
absl::StatusOr<std::vector<std::string>> ParseAlso(const Args& args) {
  if (!args.Has("also")) return std::vector<std::string>();
  std::vector<std::string> also = absl::StrSplit(args.Text("also"), ',');
  std::vector<std::pair<std::string, std::string>> others = {
      {args.Text("data-dir"), "--data-dir"}, {args.Text("out"), "--out"}};
  for (const std::string& directory : also) {
    std::error_code error;
    if (!std::filesystem::is_directory(directory, error)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--also: expected directories that are there, with commas between "
          "them, found \"",
          directory, "\""));
    }
    for (const auto& [other, flag] : others) {
      if (!std::filesystem::equivalent(directory, other, error)) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "--also: expected other servers' directories, each once, found ",
          directory, ", which is given as ", flag, ", too"));
    }
    others.emplace_back(directory, "--also");
  }
  return also;
}

void PrintCopies(const Recover::Result& result) {
  const Recovered& from = result.from;
  for (const RecoverCopyUse& copy : result.copies) {
    std::string line =
        copy.status.ok()
            ? absl::StrCat("from server ", copy.id.value(), "'s directory ",
                           copy.name, ": ", copy.entries, " entries")
            : absl::StrCat("not used: ", copy.name, ": ",
                           copy.status.message());
    if (!copy.trouble.ok()) {
      absl::StrAppend(&line,
                      "; some of it can't be read: ", copy.trouble.message());
    }
    if (copy.IsAhead(from.last_index, from.last_term)) {
      absl::StrAppend(
          &line, "; its log goes on behind this one, to entry ",
          copy.last_index.value(), " of term ", copy.last_term.value(),
          ": for what stands there, remove the new directory, and recover "
          "with --data-dir=",
          copy.name);
    }
    std::printf("%s\n", line.c_str());
  }
}

void PrintLost(const Recover::Result& result) {
  for (const LostRecords& lost : result.lost) {
    std::printf("%s\n",
                absl::StrCat(
                    "damaged here, and lost: ",
                    lost.first < lost.end
                        ? absl::StrCat("offsets ", lost.first.value(), " to ",
                                       lost.end.value(), " (exclusive), ")
                        : "no records, but ",
                    "what was in the log up to entry ", lost.last_index.value())
                    .c_str());
  }
  const Recovered& from = result.from;
  if (result.reached > from.last_index) {
    std::printf(
        "%s\n",
        absl::StrCat("damaged here, and lost: the log's end, entries ",
                     from.last_index.value() + 1, " to ",
                     result.reached.value(), ", whose records began at offset ",
                     from.next_offset.value())
            .c_str());
  }
  if (!result.lost.empty()) {
    std::printf(
        "producers' sessions that began before have ended: what clients send "
        "again may be in the log twice\n");
  }
}

int RunRecover(const Args& args) {
  if (absl::Status s = args.Require({"data-dir", "out"}); !s.ok()) {
    return FailWith(s);
  }
  absl::StatusOr<NewClusterOptions> options = ParseServer(args);
  if (!options.ok()) return FailWith(options.status());
  absl::StatusOr<std::vector<std::string>> also = ParseAlso(args);
  if (!also.ok()) return FailWith(also.status());
  if (!args.Has("accept-data-loss")) return Fail(kExitUsage, kDataLoss);
  EpollLoop loop;
  absl::StatusOr<std::unique_ptr<PosixDisk>> old_disk =
      PosixDisk::OpenReadOnly(&loop, args.Text("data-dir"));
  if (!old_disk.ok()) return FailAt("recover", old_disk.status());
  std::vector<std::unique_ptr<PosixDisk>> disks;
  std::vector<RecoverCopy> copies;
  for (const std::string& directory : *also) {
    absl::StatusOr<std::unique_ptr<PosixDisk>> disk =
        PosixDisk::OpenReadOnly(&loop, directory);
    if (!disk.ok()) return FailAt("recover", disk.status());
    copies.push_back({.name = directory, .disk = disk->get()});
    disks.push_back(*std::move(disk));
  }
  absl::StatusOr<std::unique_ptr<PosixDisk>> new_disk =
      PosixDisk::Open(&loop, args.Text("out"));
  if (!new_disk.ok()) return FailAt("recover", new_disk.status());

  Recover recover(&loop, old_disk->get(), new_disk->get(), *options,
                  std::move(copies));
  absl::StatusOr<Recover::Result> result = RunToEnd(&loop, &recover);
  if (!result.ok()) return FailAt("recover", result.status());
  std::printf("%s\n",
              absl::StrCat("recovered from server ", result->old.id.value(),
                           ", ", Describe(result->from))
                  .c_str());
  PrintCopies(*result);
  PrintLost(*result);
  PrintNext(args.Text("out"), *options, result->cluster);
  return kExitDone;
}

}  // namespace

Command RestoreCommand() {
  return {"restore", "makes a new cluster of one server from a backup",
          WithServerFlags(
              {{"in", "FILE", "the backup"},
               {"data-dir", "DIR", "the new server's directory, empty"}}),
          RunRestore};
}

Command RecoverCommand() {
  return {
      "recover",
      "makes a new cluster of what one server has left of a dead one",
      WithServerFlags({{"data-dir", "DIR",
                        "the directory of a stopped server; it is only read"},
                       {"also", "DIR,...",
                        "the directories of other stopped servers, to take "
                        "from what is damaged in the first; only read"},
                       {"out", "DIR", "the new server's directory, empty"},
                       {"accept-data-loss", nullptr,
                        "acknowledged records may be lost for good"}}),
      RunRecover};
}

}  // namespace holdfast
