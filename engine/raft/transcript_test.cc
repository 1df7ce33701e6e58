// Plays the scenes of tests/transcripts/*.txt: each line that starts with '>'
// is a command, the lines behind it are what the cluster then does. To have
// the answers written anew, and then to review the difference by eye:
//
//   bazel run //engine/raft:transcript_test -- --rewrite=$PWD/tests/transcripts
//
// Commands (servers by id):
//   cluster N                voters 1..N, entry 1 committed, all followers
//   joint A,B to C,D         old voters A,B and new voters C,D instead
//   timeout S                time goes on, S alone notices, and times out
//   tick S [MS]              time goes on, S alone notices
//   deliver A B              all messages from A to B, in order
//   drop A B                 they vanish instead
//   write S                  all of S's writes complete
//   propose S N              N entries at S
//   read S ID                a linearizable read at S
//   crash S / restart S      without what wasn't written
//   cold S                   S's cold reads complete
//   settle                   all messages and writes, in order, nothing told
//   show                     every server in a line

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/raft/testing/cluster.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

std::string rewrite_directory;  // NOLINT: of this program only

class Scene {
 public:
  std::string Run(const std::string& command) {
    out_.clear();
    words_ = absl::StrSplit(command, ' ', absl::SkipEmpty());
    const std::string& verb = words_[0];
    if (verb == "cluster") {
      std::vector<uint64_t> voters;
      for (uint64_t id = 1; id <= Number(1); ++id) voters.push_back(id);
      Make(Number(1), MakeConfiguration(voters));
    } else if (verb == "joint") {
      std::vector<uint64_t> old_voters = Ids(words_[1]);
      std::vector<uint64_t> voters = Ids(words_[3]);
      uint64_t most =
          std::max(*std::max_element(voters.begin(), voters.end()),
                   *std::max_element(old_voters.begin(), old_voters.end()));
      Make(most, MakeConfiguration(voters, {}, old_voters));
    } else if (verb == "timeout") {
      cluster_->Advance(1s);
      cluster_->Step(Server(1), Tick{});
    } else if (verb == "tick") {
      cluster_->Advance(
          std::chrono::milliseconds(words_.size() > 2 ? Number(2) : 50));
      cluster_->Step(Server(1), Tick{});
    } else if (verb == "deliver" || verb == "drop") {
      Messages(verb == "deliver");
    } else if (verb == "write") {
      size_t n = cluster_->server(Server(1)).writes.size();
      if (n > 0) cluster_->CompleteWrites(Server(1), n);
    } else if (verb == "propose") {
      cluster_->Propose(Server(1), Number(2));
    } else if (verb == "read") {
      cluster_->Read(Server(1), Number(2));
    } else if (verb == "crash") {
      cluster_->Crash(Server(1));
    } else if (verb == "restart") {
      cluster_->Restart(Server(1));
    } else if (verb == "cold") {
      while (!cluster_->server(Server(1)).cold_reads.empty()) {
        cluster_->CompleteColdRead(Server(1));
      }
    } else if (verb == "settle") {
      quiet_ = true;
      cluster_->Settle();
      quiet_ = false;
    } else if (verb == "show") {
      absl::StrAppend(&out_, cluster_->Describe());
    } else {
      ADD_FAILURE() << "unknown command: " << command;
    }
    if (!out_.empty() && out_.back() != '\n') out_ += '\n';
    return out_;
  }

 private:
  uint64_t Number(size_t i) const {
    uint64_t n = 0;
    EXPECT_TRUE(i < words_.size() && absl::SimpleAtoi(words_[i], &n));
    return n;
  }
  ServerId Server(size_t i) const { return ServerId(Number(i)); }
  static std::vector<uint64_t> Ids(const std::string& list) {
    std::vector<uint64_t> ids;
    for (absl::string_view id : absl::StrSplit(list, ',')) {
      ids.push_back(0);
      EXPECT_TRUE(absl::SimpleAtoi(id, &ids.back()));
    }
    return ids;
  }

  void Make(uint64_t n, const Configuration& configuration) {
    RaftOptions options;
    options.hot_bytes = 1000;  // so that entries get cold soon
    cluster_ = std::make_unique<TestCluster>(n, configuration, options);
    cluster_->on_step = [this](ServerId id, const InputEvent&,
                               const RaftOutput& output) {
      if (!quiet_) Tell(id, output);
    };
  }

  void Tell(ServerId id, const RaftOutput& output) {
    std::string who = absl::StrCat("  ", id.value(), " ");
    if (output.role_changed) {
      absl::StrAppend(&out_, who, "is ", ToString(cluster_->core(id).role()),
                      " in term ", cluster_->core(id).term().value(), "\n");
    }
    if (output.persist.has_value()) {
      const RaftPersist& p = *output.persist;
      absl::StrAppend(&out_, who, "writes #", p.sequence);
      if (p.hard_state.has_value()) {
        absl::StrAppend(&out_, " term ", p.hard_state->term.value(), " vote ",
                        p.hard_state->vote.value());
      }
      if (p.cut_from.has_value()) {
        absl::StrAppend(&out_, " cut from ", p.cut_from->value());
      }
      for (const EntryMeta& e : p.entries) {
        absl::StrAppend(&out_, " ", e.index.value(), "/", e.term.value());
      }
      out_ += '\n';
    }
    for (const Message& m : output.messages) {
      absl::StrAppend(&out_, who, "sends ", ToString(m), "\n");
    }
    for (const RaftColdRead& c : output.cold_reads) {
      absl::StrAppend(&out_, who, "reads from ", c.first.value(), " for ",
                      c.to.value(), "\n");
    }
    if (output.commit_advanced) {
      absl::StrAppend(&out_, who, "commits up to ", output.commit.value(),
                      "\n");
    }
    for (const ReadReady& r : output.reads_ready) {
      absl::StrAppend(&out_, who, "answers read ", r.id, " at ",
                      r.index.value(), "\n");
    }
    for (uint64_t r : output.reads_failed) {
      absl::StrAppend(&out_, who, "fails read ", r, "\n");
    }
  }

  void Messages(bool deliver) {
    // Those that are there now; what comes of them waits.
    std::vector<Message> now;
    for (const Message& m : cluster_->network()) {
      if (m.from == Server(1) && m.to == Server(2)) now.push_back(m);
    }
    for (const Message& m : now) {
      const std::vector<Message>& network = cluster_->network();
      size_t i = static_cast<size_t>(
          std::find(network.begin(), network.end(), m) - network.begin());
      if (deliver) {
        cluster_->Deliver(i);
      } else {
        absl::StrAppend(&out_, "  lost: ", ToString(m), "\n");
        cluster_->Drop(i);
      }
    }
  }

  std::unique_ptr<TestCluster> cluster_;
  std::vector<std::string> words_;
  std::string out_;
  bool quiet_ = false;
};

std::string Play(std::istream& script) {
  Scene scene;
  std::string played;
  std::string line;
  while (std::getline(script, line)) {
    if (line.empty() || line[0] == '#') {
      absl::StrAppend(&played, line, "\n");
    } else if (line[0] == '>') {
      absl::StrAppend(&played, line, "\n", scene.Run(line.substr(1)));
    }  // else an answer of before
  }
  return played;
}

TEST(TranscriptTest, ScenesGoAsWritten) {
  std::string directory = rewrite_directory.empty()
                              ? std::string("tests/transcripts")
                              : rewrite_directory;
  std::vector<std::string> paths;
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    if (file.path().extension() == ".txt") paths.push_back(file.path());
  }
  std::sort(paths.begin(), paths.end());
  ASSERT_GE(paths.size(), 8u);
  for (const std::string& path : paths) {
    SCOPED_TRACE(path);
    std::ifstream file(path);
    std::string written((std::istreambuf_iterator<char>(file)),
                        std::istreambuf_iterator<char>());
    std::istringstream script(written);
    std::string played = Play(script);
    if (rewrite_directory.empty()) {
      EXPECT_EQ(played, written);
    } else {
      std::ofstream(path) << played;
    }
  }
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    absl::string_view arg = argv[i];
    if (absl::ConsumePrefix(&arg, "--rewrite=")) {
      holdfast::rewrite_directory = std::string(arg);
    }
  }
  return RUN_ALL_TESTS();
}
