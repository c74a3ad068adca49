#include "cli/command.hpp"

#include <fmt/format.h>

#include "core/text.hpp"
#include "core/yaml.hpp"

namespace oddjob::cli {

Format Invocation::format() const {
  if (output == "json") return Format::json;
  if (output == "jsonl") return Format::jsonl;
  if (output == "yaml") return Format::yaml;
  if (output == "name") return Format::name;
  if (output == "wide") return Format::wide;
  return Format::table;
}

Result<Settings> Invocation::settings() const {
  OJ_TRY(const auto config, load_cli_config(config_path(environment)));
  auto with_plugin = flags;
  with_plugin.via_kubernetes = flags.via_kubernetes || (plugin && flags.server.empty());
  OJ_TRY(auto settings, merge_settings(with_plugin, environment, config));
  OJ_CHECK(use_kubeconfig(settings, environment));
  return settings;
}

int with_server(Invocation& invocation,
                const std::function<net::Task<Result<int>>(net::Loop&, ApiClient&, const Settings&)>& work) {
  const auto settings = invocation.settings();
  if (!settings) {
    print_error(settings.error());
    return kOwnFailure;
  }
  net::Loop loop;
  auto client = ApiClient::make(loop, *settings, invocation.environment);
  if (!client) {
    print_error(client.error());
    return kOwnFailure;
  }
  const auto code = loop.block_on(work(loop, **client, *settings));
  if (!code) {
    print_error(code.error());
    return kOwnFailure;
  }
  return *code;
}

void print_value(const json::value& v, Format format) {
  write_out(format == Format::yaml ? to_yaml(v) : pretty_json(v));
}

void print_run(const Invocation& invocation, const json::value& run, std::string_view sentence) {
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml)
    print_value(run, format);
  else if (format == Format::name)
    write_out(fmt::format("run/{}\n", get_string(run, {"id"})));
  else
    write_out(fmt::format("{}\n", sentence));
}

net::Task<Result<json::array>> all_items(ApiClient& api, std::string path, net::Query query) {
  json::array items;
  std::string cursor;
  do {
    net::Query q = query;
    if (!cursor.empty()) q.add("cursor", cursor);
    OJ_CO_TRY(const auto page, co_await api.call("GET", path + "?" + q.encode()));
    if (const auto* warnings = find_array(page, {"warnings"}); warnings != nullptr && cursor.empty())
      for (const auto& w : *warnings)
        if (w.is_string()) write_err(fmt::format("warning: {}\n", printable(sv(w.get_string()), 1000)));
    if (const auto* got = find_array(page, {"items"})) items.insert(items.end(), got->begin(), got->end());
    cursor = std::string(get_string(page, {"nextCursor"}));
  } while (!cursor.empty());
  co_return items;
}

std::string run_id_argument(std::string text) {
  if (text.starts_with("run/")) text.erase(0, 4);
  return text;
}

}  // namespace oddjob::cli
