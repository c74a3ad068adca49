#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "cli/program.hpp"

int main(int argc, char** argv) {
  const int code =
      oddjob::cli::program(argc > 0 ? argv[0] : "oddjob", std::vector<std::string>(argv + 1, argv + argc));
  // All that was done is done and said: what libraries would take down at the end the kernel takes at once.
  std::fflush(nullptr);
  ::_exit(code);
}
