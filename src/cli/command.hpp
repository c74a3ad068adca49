// What every command shares: the flags before it, the words after `--`, where
// to write. One file a command under commands/, each with a function add_<name>
// that registers it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/api_client.hpp"
#include "cli/config.hpp"
#include "cli/terminal.hpp"
#include "core/error.hpp"
#include "net/async.hpp"
#include "net/http.hpp"

namespace CLI {
class App;
}

namespace oddjob::cli {

// OddJob's own failures: the same number as container engines use.
inline constexpr int kOwnFailure = 125;

enum class Format { table, wide, json, jsonl, yaml, name };  // jsonl: `audit list` only

struct Invocation {
  GlobalFlags flags;
  bool plugin = false;  // `kubectl oddjob`: by way of Kubernetes, unless --server is given
  std::string output;   // -o as given
  bool quiet = false;
  Environment environment;
  Terminal terminal;
  std::vector<std::string> command;  // the words after `--`
  bool has_separator = false;
  std::function<int(Invocation&)> action;  // set by the command that was named

  [[nodiscard]] Format format() const;
  [[nodiscard]] Result<Settings> settings() const;
};

// Runs `work` with a loop and a client for the configured server; prints an
// error and answers kOwnFailure where there is one.
int with_server(Invocation& invocation,
                const std::function<net::Task<Result<int>>(net::Loop&, ApiClient&, const Settings&)>& work);

// Prints a value as the format asks (json or yaml).
void print_value(const json::value& v, Format format);
// The whole run (json, yaml), its name, or for people the sentence.
void print_run(const Invocation& invocation, const json::value& run, std::string_view sentence);
// All `items` of a list of the API, page by page. `path` is without a query. What
// the server warns of (the list is not whole) goes to standard error.
net::Task<Result<json::array>> all_items(ApiClient& api, std::string path, net::Query query);
// `run/<id>` or `<id>`: the id.
std::string run_id_argument(std::string text);

void add_run(CLI::App& app, Invocation& invocation);
void add_logs(CLI::App& app, Invocation& invocation);
void add_ls(CLI::App& app, Invocation& invocation);
void add_show(CLI::App& app, Invocation& invocation);
void add_cancel(CLI::App& app, Invocation& invocation);
void add_pending(CLI::App& app, Invocation& invocation);
void add_approve(CLI::App& app, Invocation& invocation);
void add_deny(CLI::App& app, Invocation& invocation);
void add_workloads(CLI::App& app, Invocation& invocation);
void add_image(CLI::App& app, Invocation& invocation);
void add_templates(CLI::App& app, Invocation& invocation);
void add_template(CLI::App& app, Invocation& invocation);
void add_render(CLI::App& app, Invocation& invocation);
void add_audit(CLI::App& app, Invocation& invocation);
void add_login(CLI::App& app, Invocation& invocation);
void add_logout(CLI::App& app, Invocation& invocation);
void add_whoami(CLI::App& app, Invocation& invocation);
void add_context(CLI::App& app, Invocation& invocation);
void add_completion(CLI::App& app, Invocation& invocation);
void add_version(CLI::App& app, Invocation& invocation);

}  // namespace oddjob::cli
