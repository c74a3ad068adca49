// oddjob render -f FILE [WORKLOAD] [flags] -- COMMAND: offline.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/request_flags.hpp"
#include "core/text.hpp"
#include "core/yaml.hpp"
#include "fs/files.hpp"
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

struct Manifests {
  std::vector<json::value> workloads;
  render::ClusterFacts facts;
};

Result<Manifests> read_manifests(const std::string& path) {
  const std::string name = path == "-" ? "/dev/stdin" : path;
  OJ_TRY(const auto text, fs::read_file(name, kMaxYamlBytes, "cli.file_unreadable"));
  OJ_TRY(auto documents, parse_yaml_documents(text, path));
  Manifests out;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    // A copy: the vector may move as lists are unpacked into it.
    const json::value document = documents[i];
    const auto kind = get_string(document, {"kind"});
    if (kind == "List") {
      if (const auto* items = find_array(document, {"items"}))
        documents.insert(documents.end(), items->begin(), items->end());
    } else if (workload_kind_from_kind_name(kind)) {
      out.workloads.push_back(document);
    } else if (kind == "Service") {
      out.facts.services.push_back(document);
    } else if (kind == "PodDisruptionBudget") {
      out.facts.disruption_budgets.push_back(document);
    } else if (kind == "PersistentVolumeClaim") {
      out.facts.volume_claims.push_back(document);
    }
  }
  return out;
}

WorkloadRef reference(const json::value& workload) {
  return {*workload_kind_from_kind_name(get_string(workload, {"kind"})),
          std::string(get_string(workload, {"metadata", "namespace"}, "default")),
          std::string(get_string(workload, {"metadata", "name"}))};
}

Result<json::value> choose(const std::vector<json::value>& all, const RenderFlags& flags) {
  if (all.empty())
    return fail(Errc::invalid_argument, "cli.no_workload",
                fmt::format("{} has no Deployment, StatefulSet, DaemonSet or CronJob", flags.file));
  if (flags.request.workload.empty()) {
    if (all.size() == 1) return all.front();
    std::vector<std::string> names;
    for (const auto& w : all) names.push_back(to_string(reference(w)));
    return fail(Errc::invalid_argument, "cli.no_workload",
                fmt::format("{} has several workloads", flags.file),
                "name one of them: " + join(names, ", "));
  }
  OJ_TRY(const auto wanted, parse_workload(flags.request.workload, "default"));
  for (const auto& w : all)
    if (const auto r = reference(w); r.kind == wanted.kind && r.name == wanted.name) return w;
  return fail(Errc::not_found, "cli.no_workload", fmt::format("{} has no {}", flags.file, to_string(wanted)));
}

Result<int> run(const Invocation& invocation, RenderFlags flags) {
  OJ_TRY(auto manifests, read_manifests(flags.file));
  OJ_TRY(const auto workload, choose(manifests.workloads, flags));
  const auto ref = reference(workload);
  flags.request.workload = to_string(ref);
  OJ_TRY(const auto request, make_request(flags.request, invocation, ref.name_space));
  // Offline there is nobody to refuse: the annotations shape the Job where they
  // can be read, and a problem with them is only said.
  Policy policy;
  const auto* annotations = find_object(workload, {"metadata", "annotations"});
  if (auto parsed =
          policy::parse_policy(annotations == nullptr ? json::object() : *annotations, to_string(ref)))
    policy = std::move(*parsed);
  else
    write_err(fmt::format("warning: OddJob would refuse this workload: {}\n", parsed.error().message));
  manifests.facts.minor = flags.minor;
  const render::Identity identity{"aaaaaaaaaaaaaaaaaaaa", "you", request.reason};
  OJ_TRY(const auto rendered, render::render(workload, request, policy, manifests.facts, identity));
  for (const auto& warning : rendered.warnings)
    write_err(fmt::format("warning: {}\n", printable(warning, 1000)));
  if (flags.diff)
    write_out(render::diff_text(workload, rendered, invocation.terminal.color));
  else if (invocation.format() == Format::json)
    write_out(pretty_json(rendered.job));
  else
    write_out(to_yaml(rendered.job));
  return 0;
}

}  // namespace

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
