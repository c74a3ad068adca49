#include "server/program.hpp"

int main(int argc, char** argv) { return oddjob::server::program(argc, argv); }
