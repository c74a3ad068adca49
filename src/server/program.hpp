// The `oddjobd` program, apart from main(), so that tests can call it.
#pragma once

namespace oddjob::server {

// Exit codes: 0 fine, 1 it could not do it (the log says why), 2 wrong usage.
int program(int argc, char** argv);

}  // namespace oddjob::server
