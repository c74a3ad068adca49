// Stands in for runs::Engine at link time (scripted_engine.cpp defines its
// members), so that a test decides what happens to a run and when. Runs and
// logs are in the real store. What the real engine does is held by its own
// tests and by test/e2e.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "runs/engine.hpp"

namespace oddjob::api {

struct EngineScript {
  store::Store* store = nullptr;
  bool ready = true;
  std::string reason;
  std::optional<Error> error;  // what every call answers, once set
  std::vector<runs::WorkloadInfo> workloads;
  std::vector<std::string> warnings;  // of the list of workloads
  std::vector<runs::TemplateInfo> templates;
  runs::DryRunResult dry_run;
  std::vector<runs::Caller> callers;  // of submit, dry_run, cancel
  std::vector<RunRequest> requests;
  bool approvable = false;                   // of the last list
  std::pair<std::string, std::string> said;  // digest and reason of the last approve or deny
  net::Notifier changed;
  Time last{};  // when the last run was created

  static EngineScript*& current() {
    static EngineScript* script = nullptr;
    return script;
  }
};

}  // namespace oddjob::api
