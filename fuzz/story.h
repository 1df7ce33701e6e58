#ifndef HOLDFAST_FUZZ_STORY_H_
#define HOLDFAST_FUZZ_STORY_H_

#include <string>

#include "absl/strings/string_view.h"

namespace holdfast {

// What an input does, in words: for who has to understand a failure. One at a
// time, as inputs run.

void BeginStory();
void AddToStory(std::string what);
// Writes it to stderr.
void TellStory();
// Tells it, and what came of it that must not come, and ends the process.
[[noreturn]] void Broke(absl::string_view what);

}  // namespace holdfast

#endif  // HOLDFAST_FUZZ_STORY_H_
