// A program that is its own server: a cluster of one, in a directory that it
// keeps. Run it again with the same directory, and the log goes on.
//
//   embedded [DIR]    else a temporary directory

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "transport/embedded_node.h"

namespace holdfast {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

int Run(const std::string& directory) {
  EmbeddedNodeConfig config;
  config.data_dir = directory;
  config.insecure = true;  // nobody else connects
  config.node().id = ServerId(1);
  // Servers that others are to reach have a port of their own here.
  config.node().listen = "127.0.0.1:0";
  config.node().bootstrap = {{ServerId(1), Incarnation(), "127.0.0.1:7400"}};
  absl::StatusOr<std::unique_ptr<EmbeddedNode>> node =
      EmbeddedNode::Start(std::move(config));
  if (!node.ok()) return Fail(node.status());
  absl::StatusOr<ServerId> leader = (*node)->WaitForLeader(30s);
  if (!leader.ok()) return Fail(leader.status());

  BatchBuilder batch;
  for (int i = 0; i < 3; ++i) {
    absl::Status added = batch.Add(absl::StrCat("event ", i));
    if (!added.ok()) return Fail(added);
  }
  AppendOutcome outcome = (*node)->Append(std::move(batch));
  if (outcome.kind != AppendOutcome::Kind::kCommitted) {
    return Fail(absl::UnavailableError(outcome.message));
  }

  // On disk, synced: read it back, from the first record of all.
  Offset next(0);
  while (true) {
    absl::StatusOr<ClientReadResult> result = (*node)->Read(next);
    if (!result.ok()) return Fail(result.status());
    if (result->batches.empty()) break;
    for (const LogBatch& found : result->batches) {
      RecordCursor records = found.Records();
      RecordView record;
      while (records.Next(&record)) {
        std::printf("%s\n", std::string(record.value()).c_str());
      }
    }
    next = result->next;
  }
  (*node)->Close();
  return next == outcome.offset + 3 ? 0 : 1;
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  if (argc > 1) return holdfast::Run(argv[1]);
  std::string pattern = std::filesystem::temp_directory_path().string() +
                        "/holdfast-embedded.XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) return 1;
  int code = holdfast::Run(pattern);
  std::filesystem::remove_all(pattern);
  return code;
}
