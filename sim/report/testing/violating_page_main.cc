// Writes the page of a run that ends in a violation, for page_test.sh:
// violating_page FILE.

#include <cstdio>
#include <fstream>

#include "sim/report/page.h"
#include "sim/report/testing/violating_run.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: violating_page FILE\n", stderr);
    return 64;
  }
  holdfast::ViolatingRun run;
  std::ofstream out(argv[1]);
  out << holdfast::Page(run.recording(), {}, {.seed = 7, .command = "none"});
  out.close();
  return out ? 0 : 1;
}
