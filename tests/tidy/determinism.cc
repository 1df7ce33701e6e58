#include "tests/tidy/determinism.h"

#include <cstddef>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace holdfast::tidy {
namespace {

// The one file that may hold a hash table: its map can't be iterated.
constexpr absl::string_view kLookupMap = "engine/base/lookup_map.h";

struct Ban {
  absl::string_view name;
  absl::string_view instead;
};

constexpr absl::string_view kNoThreads = "one event loop, no threads";
constexpr absl::string_view kNoClock = "time comes from Loop::Now()";
constexpr absl::string_view kNoChance = "chance is keyed: engine/base/random.h";
constexpr absl::string_view kNoHash =
    "hash tables are for lookups only: engine/base/lookup_map.h";
constexpr absl::string_view kNoOs = "the world is seen through engine/env only";
constexpr absl::string_view kNoAddress = "no address may reach a decision";

constexpr Ban kNames[] = {
    {"std::thread", kNoThreads},
    {"std::jthread", kNoThreads},
    {"std::this_thread", kNoThreads},
    {"std::mutex", kNoThreads},
    {"std::shared_mutex", kNoThreads},
    {"std::recursive_mutex", kNoThreads},
    {"std::condition_variable", kNoThreads},
    {"std::async", kNoThreads},
    {"std::future", kNoThreads},
    {"std::promise", kNoThreads},
    {"std::call_once", kNoThreads},
    {"absl::Mutex", kNoThreads},
    {"absl::MutexLock", kNoThreads},
    {"absl::Notification", kNoThreads},
    {"absl::call_once", kNoThreads},
    {"thread_local", kNoThreads},
    {"system_clock", kNoClock},
    {"steady_clock", kNoClock},
    {"high_resolution_clock", kNoClock},
    {"absl::Now", kNoClock},
    {"absl::GetCurrentTimeNanos", kNoClock},
    {"absl::SleepFor", kNoClock},
    {"clock_gettime", kNoClock},
    {"gettimeofday", kNoClock},
    {"absl::BitGen", kNoChance},
    {"absl::InsecureBitGen", kNoChance},
    {"std::random_device", kNoChance},
    {"std::mt19937", kNoChance},
    {"std::mt19937_64", kNoChance},
    {"std::shuffle", kNoChance},
    {"std::unordered_map", kNoHash},
    {"std::unordered_set", kNoHash},
    {"std::unordered_multimap", kNoHash},
    {"std::unordered_multiset", kNoHash},
    {"absl::flat_hash_map", kNoHash},
    {"absl::flat_hash_set", kNoHash},
    {"absl::node_hash_map", kNoHash},
    {"absl::node_hash_set", kNoHash},
    {"absl::Hash", "its values differ from run to run"},
    {"absl::HashOf", "its values differ from run to run"},
    {"std::hash", "its values differ from library to library"},
    {"ABSL_FLAG", "flags are globals: pass options in"},
    {"errno", "no errno may reach a decision or a trace"},
    {"strerror", "no errno text may reach a decision or a trace"},
    {"uintptr_t", kNoAddress},
    {"intptr_t", kNoAddress},
};

constexpr Ban kCalls[] = {
    {"time", kNoClock},    {"clock", kNoClock}, {"sleep", kNoClock},
    {"usleep", kNoClock},  {"rand", kNoChance}, {"srand", kNoChance},
    {"random", kNoChance}, {"getenv", kNoOs},   {"secure_getenv", kNoOs},
    {"system", kNoOs},     {"getpid", kNoOs},   {"gethostname", kNoOs},
    {"fopen", kNoOs},      {"tmpfile", kNoOs},
};

// As they stand in the #include line. One that ends in '/' is a folder.
constexpr Ban kIncludes[] = {
    {"<condition_variable>", kNoThreads},
    {"<future>", kNoThreads},
    {"<mutex>", kNoThreads},
    {"<pthread.h>", kNoThreads},
    {"<shared_mutex>", kNoThreads},
    {"<stop_token>", kNoThreads},
    {"<thread>", kNoThreads},
    {"\"absl/synchronization/", kNoThreads},
    {"<ctime>", kNoClock},
    {"<time.h>", kNoClock},
    {"\"absl/time/clock.h\"", kNoClock},
    {"<random>", kNoChance},
    {"\"absl/random/", kNoChance},
    {"<unordered_map>", kNoHash},
    {"<unordered_set>", kNoHash},
    {"<arpa/", kNoOs},
    {"<csignal>", kNoOs},
    {"<dirent.h>", kNoOs},
    {"<fcntl.h>", kNoOs},
    {"<filesystem>", kNoOs},
    {"<fstream>", kNoOs},
    {"<liburing.h>", kNoOs},
    {"<linux/", kNoOs},
    {"<net/", kNoOs},
    {"<netdb.h>", kNoOs},
    {"<netinet/", kNoOs},
    {"<poll.h>", kNoOs},
    {"<signal.h>", kNoOs},
    {"<sys/", kNoOs},
    {"<unistd.h>", kNoOs},
    {"<openssl/", "TLS belongs to transport/: it draws from the system"},
};

// Ordered by address, so the order differs from run to run.
bool HasPointerKey(absl::string_view line) {
  for (absl::string_view container :
       {"std::map<", "std::set<", "std::multimap<", "std::multiset<",
        "absl::btree_map<", "absl::btree_set<"}) {
    size_t at = line.find(container);
    if (at == absl::string_view::npos) continue;
    absl::string_view key = line.substr(at + container.size());
    key = key.substr(0, key.find_first_of(",>"));
    if (absl::EndsWith(key, "*")) return true;
  }
  return false;
}

}  // namespace

std::vector<Finding> CheckDeterminism(absl::string_view path,
                                      const Source& source) {
  std::vector<Finding> findings;
  const auto report = [&](size_t i, absl::string_view what,
                          absl::string_view instead) {
    findings.push_back({.line = static_cast<int>(i) + 1,
                        .what = absl::StrCat(what, ": ", instead)});
  };
  for (size_t i = 0; i < source.code.size(); ++i) {
    const std::string& code = source.code[i];
    const std::string& text = source.text[i];
    for (const Ban& ban : kNames) {
      if (ban.instead == kNoHash && path == kLookupMap) continue;
      if (HasName(code, ban.name)) report(i, ban.name, ban.instead);
    }
    for (const Ban& ban : kCalls) {
      if (HasCall(code, ban.name)) report(i, ban.name, ban.instead);
    }
    if (absl::StartsWith(text, "#include")) {
      for (const Ban& ban : kIncludes) {
        if (absl::StrContains(text, ban.name)) report(i, text, ban.instead);
      }
    }
    if (HasPointerKey(code)) report(i, "a pointer as a key", kNoAddress);
    if (absl::StrContains(text, "%p")) report(i, "%p", kNoAddress);
  }
  for (const Variable& variable : FindMutableStatics(source)) {
    findings.push_back(
        {.line = variable.line,
         .what = absl::StrCat("`", variable.declaration,
                              "` outlives its call: state lives in objects; "
                              "a constant is constexpr")});
  }
  return findings;
}

}  // namespace holdfast::tidy
