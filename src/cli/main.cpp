#include <string>
#include <vector>

#include "cli/program.hpp"

int main(int argc, char** argv) {
  return oddjob::cli::program(argc > 0 ? argv[0] : "oddjob", std::vector<std::string>(argv + 1, argv + argc));
}
