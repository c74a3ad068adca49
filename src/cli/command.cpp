#include "cli/command.hpp"

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
  return merge_settings(flags, environment, config);
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

std::string run_id_argument(std::string text) {
  if (text.starts_with("run/")) text.erase(0, 4);
  return text;
}

}  // namespace oddjob::cli
