// oddjob templates; oddjob template show|lint|render.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/manifests.hpp"
#include "cli/request_flags.hpp"
#include "core/text.hpp"
#include "core/yaml.hpp"
#include "fs/files.hpp"
#include "net/http.hpp"
#include "policy/policy.hpp"
#include "template/template.hpp"

namespace oddjob::cli {
namespace {

constexpr int kProblems = 1;

std::vector<std::string> words_at(const json::value& v, std::string_view key) {
  std::vector<std::string> out;
  if (const auto* list = find_array(v, {key}))
    for (const auto& word : *list)
      if (word.is_string()) out.emplace_back(sv(word.get_string()));
  return out;
}

// ---- from the server ---------------------------------------------------------

net::Task<Result<int>> list(ApiClient& api, const Invocation& invocation, const Settings& settings,
                            bool everywhere) {
  net::Query q;
  if (!everywhere) q.add("namespace", settings.name_space.empty() ? "default" : settings.name_space);
  auto asking = all_items(api, "/api/v1/templates", std::move(q));
  OJ_CO_TRY(auto items, co_await std::move(asking));
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml) {
    print_value(json::object{{"items", std::move(items)}}, format);
    co_return 0;
  }
  if (items.empty()) {
    write_err(everywhere ? "There are no templates.\n"
                         : "There are no templates in this namespace; -A lists all.\n");
    co_return 0;
  }
  Table table({"NAMESPACE", "TEMPLATE", "WORKLOAD", "READY", "MAY RUN", "APPROVALS", "DESCRIPTION"});
  for (const auto& t : items) {
    if (format == Format::name) {
      write_out(fmt::format("template/{}\n", get_string(t, {"name"})));
      continue;
    }
    const bool ready = get_bool(t, {"ready"});
    const auto needed = get_int(t, {"approvalsNeeded"}).value_or(0);
    table.add({std::string(get_string(t, {"namespace"})), std::string(get_string(t, {"name"})),
               std::string(get_string(t, {"workload"})),
               ready ? "yes" : fmt::format("no: {}", get_string(t, {"readyReason"})),
               get_bool(t, {"mayRun"}) ? "yes" : "no", needed == 0 ? "" : std::to_string(needed),
               printable(get_string(t, {"description"}), format == Format::wide ? 400 : 80)});
  }
  if (format != Format::name) write_out(table.text());
  co_return 0;
}

std::string limits_of(const json::value& p) {
  std::vector<std::string> out;
  if (const auto values = words_at(p, "values"); !values.empty())
    out.push_back("one of " + join(values, ", "));
  const auto min = get_string(p, {"min"}), max = get_string(p, {"max"});
  if (!min.empty()) out.push_back(fmt::format("at least {}", min));
  if (!max.empty()) out.push_back(fmt::format("at most {}", max));
  if (const auto n = get_int(p, {"minLength"})) out.push_back(fmt::format("at least {} characters", *n));
  if (const auto n = get_int(p, {"maxLength"})) out.push_back(fmt::format("at most {} characters", *n));
  if (const auto pattern = get_string(p, {"pattern"}); !pattern.empty())
    out.push_back(fmt::format("matches {}", pattern));
  return join(out, "; ");
}

void print_template(const json::value& t) {
  const auto line = [](std::string_view label, std::string text) {
    if (!text.empty()) write_out(fmt::format("{:<14}{}\n", label, printable(text, 4000)));
  };
  line("Name:", std::string(get_string(t, {"name"})));
  line("Namespace:", std::string(get_string(t, {"namespace"})));
  line("Description:", std::string(get_string(t, {"description"})));
  line("Workload:", std::string(get_string(t, {"workload"})));
  for (const auto& [label, key] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"Container:", "container"},
           {"CPU:", "cpu"},
           {"Memory:", "memory"},
           {"Timeout:", "timeout"},
           {"Account:", "serviceAccountName"},
           {"Sidecars:", "sidecars"},
           {"Init:", "initContainers"}})
    line(label, std::string(get_string(t, {key})));
  line("Command:", quote_posix_words(words_at(t, "command")));
  if (const auto* env = find_array(t, {"env"}))
    for (const auto& e : *env)
      line("Env:", fmt::format("{}={}", get_string(e, {"name"}), get_string(e, {"value"})));
  if (const auto n = get_int(t, {"retries"})) line("Retries:", std::to_string(*n));
  std::vector<std::string> who;
  if (const auto teams = words_at(t, "allowedTeams"); !teams.empty())
    who.push_back("teams: " + join(teams, ", "));
  if (const auto users = words_at(t, "allowedUsers"); !users.empty())
    who.push_back("users: " + join(users, ", "));
  line("Allowed:",
       who.empty() ? "as the workload" : join(who, "; ") + " (of those whom the workload allows)");
  if (find(t, {"approvalsNeeded"}) != nullptr)
    line("Approvals:", std::to_string(get_int(t, {"approvalsNeeded"}).value_or(0)));
  if (find(t, {"ready"}) != nullptr)
    line("Ready:", fmt::format("{}: {}", get_bool(t, {"ready"}) ? "yes" : get_string(t, {"readyReason"}),
                               get_string(t, {"readyMessage"})));
  if (find(t, {"mayRun"}) != nullptr)
    line("May run:", get_bool(t, {"mayRun"}) ? "yes" : fmt::format("no: {}", get_string(t, {"problem"})));
  line("Digest:", std::string(get_string(t, {"digest"})));
  const auto* parameters = find_array(t, {"parameters"});
  if (parameters != nullptr && !parameters->empty()) {
    Table table({"PARAMETER", "TYPE", "DEFAULT", "ALLOWED", "DESCRIPTION"});
    for (const auto& p : *parameters) {
      const auto* fallback = find(p, {"default"});
      table.add({std::string(get_string(p, {"name"})), std::string(get_string(p, {"type"})),
                 fallback == nullptr ? "<required>" : printable(get_string(p, {"default"}), 60),
                 printable(limits_of(p), 120), printable(get_string(p, {"description"}), 200)});
    }
    write_out("\n" + table.text());
  }
  if (const auto* problems = find_array(t, {"problems"}))
    for (const auto& p : *problems)
      write_out(fmt::format("{}: {}: {}\n", get_string(p, {"severity"}),
                            printable(get_string(p, {"path"}), 200),
                            printable(get_string(p, {"message"}), 1000)));
}

net::Task<Result<int>> show(ApiClient& api, const Invocation& invocation, const Settings& settings,
                            std::string name) {
  const auto plain = template_name(name).value_or(name);
  if (!is_dns_subdomain(plain))
    co_return fail(Errc::invalid_argument, "cli.no_template",
                   fmt::format("'{}' is not the name of a template", printable(plain, 100)));
  const auto ns = settings.name_space.empty() ? std::string("default") : settings.name_space;
  OJ_CO_TRY(const auto t, co_await api.call("GET", fmt::format("/api/v1/templates/{}/{}", ns, plain)));
  if (invocation.format() == Format::json || invocation.format() == Format::yaml)
    print_value(t, invocation.format());
  else if (invocation.format() == Format::name)
    write_out(fmt::format("template/{}\n", plain));
  else
    print_template(t);
  co_return 0;
}

// ---- lint ----------------------------------------------------------------------

struct Finding {
  std::string file;
  int line = 0;
  templates::Problem problem;
};

struct Linted {
  json::array templates;
  std::vector<Finding> findings;
  std::size_t count = 0;
};

bool same_namespace(const json::value& a, const json::value& b) {
  const auto x = get_string(a, {"metadata", "namespace"}), y = get_string(b, {"metadata", "namespace"});
  return x.empty() || y.empty() || x == y;
}

// A workload that stands in the same files: does the template fit it?
void check_resolution(const Manifest& m, const templates::Parsed& parsed, const std::vector<Manifest>& all,
                      std::vector<templates::Problem>& problems) {
  const auto& ref = parsed.value.workload;
  for (const auto& other : all) {
    if (other.kind() != kind_name(ref.kind) || get_string(other.object, {"metadata", "name"}) != ref.name ||
        !same_namespace(m.object, other.object))
      continue;
    if (const auto r = templates::resolve(parsed.value, other.object); !r.ready)
      problems.push_back({"spec.workloadRef", fmt::format("{} ({})", r.message, r.reason)});
    return;
  }
}

void lint(const Manifest& m, const std::vector<Manifest>& all, Linted& out) {
  auto parsed = templates::parse(m.object);
  if (!templates::has_errors(parsed.problems)) check_resolution(m, parsed, all, parsed.problems);
  ++out.count;
  out.templates.push_back(json::object{{"file", m.file},
                                       {"line", m.line("")},
                                       {"namespace", get_string(m.object, {"metadata", "namespace"})},
                                       {"name", parsed.value.name},
                                       {"digest", parsed.value.digest},
                                       {"valid", !templates::has_errors(parsed.problems)}});
  for (auto& p : parsed.problems) out.findings.push_back({m.file, m.line(p.path), std::move(p)});
}

// A file of a folder that is no manifest, such as a Helm chart's, is nobody's concern.
bool mentions_templates(const std::string& path) {
  const auto text = fs::read_file(path, kMaxYamlBytes, "cli.file_unreadable");
  return !text || text->find(templates::kKind) != std::string::npos;
}

Result<int> lint_all(const Invocation& invocation, const std::vector<std::string>& paths) {
  Linted out;
  std::vector<Manifest> all;
  for (const auto& path : paths) {
    OJ_TRY(const auto files, manifest_files(path));
    for (const auto& file : files) {
      auto read = read_manifests(file);
      if (read) {
        std::ranges::move(*read, std::back_inserter(all));
      } else if (read.error().code == "cli.file_unreadable") {
        return fail(read.error());
      } else if (file == path || mentions_templates(file)) {
        // The message begins with the file.
        auto message = read.error().message;
        if (message.starts_with(file + ": ")) message.erase(0, file.size() + 2);
        out.findings.push_back({file, 0, {"", std::move(message)}});
      }
    }
  }
  for (const auto& m : all)
    if (m.kind() == templates::kKind) lint(m, all, out);
  if (out.count == 0 && out.findings.empty())
    return fail(Errc::not_found, "cli.no_template",
                fmt::format("there is no JobTemplate in {}", join(paths, ", ")));
  const auto errors =
      std::ranges::count_if(out.findings, [](const Finding& f) { return !f.problem.warning; });
  if (invocation.format() == Format::json || invocation.format() == Format::yaml) {
    json::array problems;
    for (const auto& f : out.findings)
      problems.push_back(json::object{{"file", f.file},
                                      {"line", f.line},
                                      {"path", f.problem.path},
                                      {"message", f.problem.message},
                                      {"severity", f.problem.warning ? "warning" : "error"}});
    print_value(json::object{{"templates", std::move(out.templates)}, {"problems", std::move(problems)}},
                invocation.format());
  } else {
    for (const auto& f : out.findings)
      write_out(fmt::format("{}{}: {}: {}{}\n", f.file, f.line > 0 ? fmt::format(":{}", f.line) : "",
                            f.problem.warning ? "warning" : "error",
                            f.problem.path.empty() ? "" : printable(f.problem.path, 300) + ": ",
                            printable(f.problem.message, 1000)));
    if (!invocation.quiet)
      write_err(fmt::format("{} template{}, {} error{}, {} warning{}\n", out.count, out.count == 1 ? "" : "s",
                            errors, errors == 1 ? "" : "s",
                            out.findings.size() - static_cast<std::size_t>(errors),
                            out.findings.size() - static_cast<std::size_t>(errors) == 1 ? "" : "s"));
  }
  return errors > 0 ? kProblems : 0;
}

// ---- render --------------------------------------------------------------------

struct RenderFlags {
  std::vector<std::string> files;
  std::string name;
  RequestFlags request;  // params and reason only
  bool diff = false;
  int minor = 0;
};

Result<json::value> choose_template(const std::vector<Manifest>& all, const std::string& name) {
  std::vector<std::string> names;
  const json::value* found = nullptr;
  for (const auto& m : all) {
    if (m.kind() != templates::kKind) continue;
    names.emplace_back(get_string(m.object, {"metadata", "name"}));
    if (name.empty() || names.back() == name) found = &m.object;
  }
  if (names.empty())
    return fail(Errc::not_found, "cli.no_template", "there is no JobTemplate in these files");
  if (found == nullptr)
    return fail(Errc::not_found, "cli.no_template",
                fmt::format("there is no JobTemplate {} in these files", printable(name, 100)),
                "there are: " + join(names, ", "));
  if (name.empty() && names.size() > 1)
    return fail(Errc::invalid_argument, "cli.no_template", "there are several JobTemplates in these files",
                "name one of them: " + join(names, ", "));
  return *found;
}

Result<int> render_template(const Invocation& invocation, const RenderFlags& flags) {
  std::vector<Manifest> all;
  for (const auto& file : flags.files) {
    OJ_TRY(auto read, read_manifests(file));
    std::ranges::move(read, std::back_inserter(all));
  }
  OJ_TRY(const auto object, choose_template(all, template_name(flags.name).value_or(flags.name)));
  OJ_TRY(const auto t, templates::read(object));
  auto scene = scene_of(all);
  OJ_TRY(const auto workload,
         choose_workload(scene.workloads, to_string(t.workload), join(flags.files, ", ")));
  RunRequest asked;
  asked.workload.name_space = t.name_space;
  asked.from_template = TemplateUse{t.name, "", 0, ""};
  asked.reason = flags.request.reason;
  OJ_TRY(asked.params, parse_params(flags.request.params));
  OJ_TRY(auto request, templates::fill(t, asked));
  if (const auto r = templates::resolve(t, workload); !r.ready)
    write_err(
        fmt::format("warning: OddJob would refuse this: {} ({})\n", printable(r.message, 1000), r.reason));
  templates::drop_own_account(request, workload);
  Policy policy;
  const auto* annotations = find_object(workload, {"metadata", "annotations"});
  if (auto parsed =
          policy::parse_policy(annotations == nullptr ? json::object() : *annotations, to_string(t.workload)))
    policy = std::move(*parsed);
  scene.facts.minor = flags.minor;
  const render::Identity identity{"aaaaaaaaaaaaaaaaaaaa", "you", request.reason};
  OJ_TRY(const auto rendered, render::render(workload, request, policy, scene.facts, identity));
  print_rendered(invocation, workload, rendered, flags.diff);
  return 0;
}

int code_of(const Result<int>& result) {
  if (result) return *result;
  print_error(result.error());
  return kOwnFailure;
}

}  // namespace

void add_templates(CLI::App& app, Invocation& invocation) {
  auto* command =
      app.add_subcommand("templates", "List the saved runs, and which you may run")->fallthrough();
  auto everywhere = std::make_shared<bool>(false);
  command->add_flag("-A,--all-namespaces", *everywhere, "In all namespaces");
  command->footer("  oddjob run template/NAME --param NAME=VALUE");
  command->callback([&invocation, everywhere] {
    invocation.action = [everywhere](Invocation& i) {
      return with_server(i, [&i, everywhere](net::Loop& /*loop*/, ApiClient& api, const Settings& settings) {
        return list(api, i, settings, *everywhere);
      });
    };
  });
}

void add_template(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("template", "Show, check and render saved runs (JobTemplates)")
                      ->fallthrough()
                      ->require_subcommand(1);
  auto* showing = command->add_subcommand("show", "Show a template and its parameters")->fallthrough();
  auto name = std::make_shared<std::string>();
  showing->add_option("name", *name, "NAME or template/NAME")->required();
  showing->callback([&invocation, name] {
    invocation.action = [name](Invocation& i) {
      return with_server(i, [&i, name](net::Loop& /*loop*/, ApiClient& api, const Settings& settings) {
        return show(api, i, settings, *name);
      });
    };
  });

  auto* linting =
      command->add_subcommand("lint", "Check JobTemplates in files and folders, offline; exit 1 on errors")
          ->fallthrough();
  auto paths = std::make_shared<std::vector<std::string>>();
  linting->add_option("path", *paths, "Files and folders (- is standard input)")->required();
  linting->footer(
      "Workloads in the same files are checked against too: does each template fit its own?\n\n"
      "  oddjob template lint deploy/");
  linting->callback([&invocation, paths] {
    invocation.action = [paths](Invocation& i) { return code_of(lint_all(i, *paths)); };
  });

  auto* rendering =
      command->add_subcommand("render", "Show the Job that a template would be, from manifests, offline")
          ->fallthrough();
  auto flags = std::make_shared<RenderFlags>();
  rendering->add_option("name", flags->name, "Which template, where there are several");
  rendering
      ->add_option("-f,--filename", flags->files,
                   "Manifests with the template and its workload; may be repeated (- is standard input)")
      ->required()
      ->allow_extra_args(false);
  add_param_flag(*rendering, flags->request);
  rendering->add_option("--reason", flags->request.reason, "Why; goes into an annotation");
  rendering->add_flag("--diff", flags->diff, "What differs from the workload's pod template, and why");
  rendering->add_option("--kubernetes-minor", flags->minor,
                        "Render for Kubernetes 1.N (default: the newest)");
  rendering->footer(
      "  oddjob template render -f template.yaml -f deployment.yaml --param since=2026-01-01\n\n"
      "`oddjob run template/NAME --dry-run` asks the server instead.");
  rendering->callback([&invocation, flags] {
    invocation.action = [flags](Invocation& i) { return code_of(render_template(i, *flags)); };
  });
}

}  // namespace oddjob::cli
