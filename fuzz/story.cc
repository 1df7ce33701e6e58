#include "fuzz/story.h"

#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"

namespace holdfast {
namespace {

std::vector<std::string>& Story() {
  static auto* const kStory = new std::vector<std::string>;
  return *kStory;
}

}  // namespace

void BeginStory() { Story().clear(); }

void AddToStory(std::string what) { Story().push_back(std::move(what)); }

void TellStory() {
  std::fprintf(stderr, "what is done: %s\n",
               absl::StrJoin(Story(), "; ").c_str());
}

void Broke(absl::string_view what) {
  TellStory();
  // tools/fuzz looks for this word.
  std::fprintf(stderr, "broke: %s\n", std::string(what).c_str());
  std::abort();
}

}  // namespace holdfast
