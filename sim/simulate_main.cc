// simulate: runs the real engine in a simulated world, by seed.

#include "sim/cli/commands.h"

int main(int argc, char** argv) { return holdfast::SimulateMain(argc, argv); }
