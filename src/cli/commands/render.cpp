// oddjob render -f FILE [WORKLOAD] [flags] -- COMMAND: offline.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/manifests.hpp"
#include "cli/request_flags.hpp"
#include "core/text.hpp"
#include "core/yaml.hpp"
#include "policy/policy.hpp"
#include "render/render.hpp"

namespace oddjob::cli {
namespace {

struct RenderFlags {
  RequestFlags request;
  std::string file;
  bool diff = false;
  int minor = 0;
};

// Offline there is nobody to refuse: the annotations shape the Job where they
// can be read, and a problem with them is only said.
Policy policy_of(const json::value& workload, const WorkloadRef& ref) {
  const auto* annotations = find_object(workload, {"metadata", "annotations"});
  auto parsed = policy::parse_policy(annotations == nullptr ? json::object() : *annotations, to_string(ref));
  if (parsed) return std::move(*parsed);
  write_err(fmt::format("warning: OddJob would refuse this workload: {}\n", parsed.error().message));
  return {};
}

Result<int> run(const Invocation& invocation, RenderFlags flags) {
  OJ_TRY(const auto manifests, read_manifests(flags.file));
  auto scene = scene_of(manifests);
  OJ_TRY(const auto workload, choose_workload(scene.workloads, flags.request.workload, flags.file));
  const auto ref = workload_reference(workload);
  flags.request.workload = to_string(ref);
  OJ_TRY(const auto request, make_request(flags.request, invocation, ref.name_space));
  const auto policy = policy_of(workload, ref);
  scene.facts.minor = flags.minor;
  const render::Identity identity{"aaaaaaaaaaaaaaaaaaaa", "you", request.reason};
  OJ_TRY(const auto rendered, render::render(workload, request, policy, scene.facts, identity));
  print_rendered(invocation, workload, rendered, flags.diff);
  return 0;
}

}  // namespace

void print_rendered(const Invocation& invocation, const json::value& workload,
                    const render::Rendered& rendered, bool diff) {
  for (const auto& warning : rendered.warnings)
    write_err(fmt::format("warning: {}\n", printable(warning, 1000)));
  if (diff)
    write_out(render::diff_text(workload, rendered, invocation.terminal.color));
  else if (invocation.format() == Format::json)
    write_out(pretty_json(rendered.job));
  else
    write_out(to_yaml(rendered.job));
}

void add_render(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("render", "Show the Job that a run would be, from a manifest, offline")
                      ->fallthrough();
  auto flags = std::make_shared<RenderFlags>();
  add_request_flags(*command, flags->request);
  command
      ->add_option("-f,--filename", flags->file,
                   "Manifest with the workload (YAML or JSON; - is standard input)")
      ->required();
  command->add_flag("--diff", flags->diff, "What differs from the workload's pod template, and why");
  command->add_option("--kubernetes-minor", flags->minor, "Render for Kubernetes 1.N (default: the newest)");
  command->footer(
      "Services, PodDisruptionBudgets and claims in the same file are checked against too.\n\n  oddjob "
      "render -f deployment.yaml --diff -- rake db:migrate");
  command->callback([&invocation, flags] {
    invocation.action = [flags](Invocation& i) {
      const auto code = run(i, *flags);
      if (code) return *code;
      print_error(code.error());
      return kOwnFailure;
    };
  });
}

}  // namespace oddjob::cli
