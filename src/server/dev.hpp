// `oddjobd dev`: dev cluster, server, SQLite and sample workloads in one process,
// for a first try on a bare machine and for tests.
#pragma once

#include <string>

namespace oddjob::server {

struct DevOptions {
  std::string directory;      // everything lives here, 0700; made if missing
  std::string ready_file;     // gets the server's URL (or the cluster's) when all is up
  bool cluster_only = false;  // the Kubernetes API alone
  bool confine = true;        // pods under bubblewrap, where it works
  bool run_pods = true;       // false: pods stay Pending (for measuring with many objects)
  int cluster_port = 0;       // 0: a free one
  int port = 0;
  std::string log_level = "info";
};

// $XDG_STATE_HOME/oddjob/dev, else ~/.local/state/oddjob/dev.
std::string default_dev_directory();
// Until SIGINT or SIGTERM. The exit code.
int dev(const DevOptions& options);

}  // namespace oddjob::server
