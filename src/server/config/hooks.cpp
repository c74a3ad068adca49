#include <algorithm>

#include "core/text.hpp"
#include "hooks/deliverer.hpp"
#include "hooks/message.hpp"
#include "server/config/keys.hpp"

namespace oddjob::server::config {
namespace {

constexpr std::size_t kMaxHooks = 20;
constexpr Duration kMaxTimeout = std::chrono::minutes(1);

Result<> check_name(std::string_view name) {
  if (!is_dns_label(name))
    return bad("a name of lower-case letters, digits and dashes", json::value(json::string(name)));
  return {};
}

Words known_events() {
  const auto known = hooks::event_types();
  return {known.begin(), known.end()};
}

Result<Words> as_events(const json::value& v) {
  OJ_TRY(auto events, as_words(v));
  const auto known = known_events();
  for (const auto& e : events)
    if (std::ranges::find(known, e) == known.end())
      return bad(join(known, ", "), json::value(json::string(e)));
  return events;
}

json::object events_schema() {
  auto out = words_schema();
  out["items"] = one_of_schema(known_events());
  return out;
}

Result<Duration> as_timeout(const json::value& v) {
  OJ_TRY(const auto timeout, as_duration(v));
  if (timeout > kMaxTimeout) return bad("at most 1m", v);
  return timeout;
}

json::object pattern(std::string_view pattern) {
  auto out = text_schema();
  out["pattern"] = pattern;
  return out;
}

}  // namespace

Keys hooks_keys() {
  using H = HookConfig;
  std::vector<Field<H>> fields = {
      {"name", "its name in logs and metrics",
       checked_text(&H::name, check_name, pattern("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")), "name"},
      {"url", "where messages are sent; http only on this machine",
       checked_text(
           &H::url, hooks::check_url,
           pattern(R"(^(https://[^ \t\r\n@]+|http://(127\.0\.0\.1|localhost|\[::1\])([:/][^ \t\r\n@]*)?)$)")),
       "url"},
      {"secretFile", "file of the secrets that messages are signed with", text(&H::secret_file),
       "secretFile: what is told is signed"},
      {"caFile", "PEM file of the authorities that sign the receiver's certificate", text(&H::ca_file)},
      {"events", "types of events; none: all", value(&H::events, events_schema(), as_events)},
      {"timeout", "of one delivery, at most 1m", value(&H::timeout, duration_schema(), as_timeout)},
  };
  return {{"hooks", "webhooks that are told of runs; in the file only",
           objects(&ServerConfig::hooks, "webhooks", kMaxHooks, &H::name, std::move(fields))}};
}

}  // namespace oddjob::server::config
