// Annotations to Policy: one row an annotation.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>

#include "core/names.hpp"
#include "core/text.hpp"
#include "policy/policy.hpp"

namespace oddjob::policy {
namespace {

constexpr std::size_t kMaxValue = 64U << 10U;
constexpr Duration kMinExpires = std::chrono::minutes(1), kMaxExpires = std::chrono::days(30);
constexpr int kMaxApprovals = 10, kMaxConcurrent = 1000;

// What was written and what was left to its default matters for coherence.
struct Draft {
  Policy policy;
  std::string default_timeout_text, max_timeout_text;  // empty: left out
};

// Reads a value into the draft; on failure says what would have been right.
using Read = std::function<std::expected<void, std::string>(Draft&, std::string_view)>;
struct Row {
  std::string_view name;
  Read read;
};

std::unexpected<std::string> expected(std::string what) { return std::unexpected(std::move(what)); }

Read list(std::vector<std::string> Policy::*field) {
  return [field](Draft& d, std::string_view value) -> std::expected<void, std::string> {
    std::vector<std::string> out;
    for (const auto& part : split(value, ',')) {
      const auto item = trim(part);
      if (item.empty()) return expected("names separated by commas");
      out.emplace_back(item);
    }
    d.policy.*field = std::move(out);
    return {};
  };
}

Read flag(bool Policy::*field) {
  return [field](Draft& d, std::string_view value) -> std::expected<void, std::string> {
    if (value != "true" && value != "false") return expected("true or false");
    d.policy.*field = value == "true";
    return {};
  };
}

std::optional<int> number(std::string_view value, int low, int high) {
  int n = 0;
  const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (ec != std::errc{} || end != value.data() + value.size() || n < low || n > high) return std::nullopt;
  return n;
}

Read duration(Duration Policy::*field, std::string Draft::*written) {
  return [=](Draft& d, std::string_view value) -> std::expected<void, std::string> {
    const auto parsed = parse_duration(value);
    if (!parsed || *parsed % std::chrono::seconds(1) != Duration::zero())
      return expected("a duration of whole seconds such as 30m or 2h");
    d.policy.*field = *parsed;
    if (written != nullptr) d.*written = std::string(value);
    return {};
  };
}

Read quantity(std::optional<Quantity> Policy::*field) {
  return [field](Draft& d, std::string_view value) -> std::expected<void, std::string> {
    const auto parsed = parse_quantity(value);
    if (!parsed || parsed->milli <= 0) return expected("a quantity such as 500m, 2 or 1Gi");
    d.policy.*field = *parsed;
    return {};
  };
}

std::expected<void, std::string> read_approval(Draft& d, std::string_view value) {
  if (value == "none")
    d.policy.approvals = 0;
  else if (value == "required")
    d.policy.approvals = 1;
  else if (const auto n = number(value, 1, kMaxApprovals))
    d.policy.approvals = *n;
  else
    return expected(fmt::format("none, required, or a number from 1 to {}", kMaxApprovals));
  return {};
}

std::expected<void, std::string> read_commands(Draft& d, std::string_view value) {
  const auto wrong = [] {
    return expected(
        R"(a JSON list of argv patterns such as [["node","backfill.js","*"],["rake","**"]], "**" only at an end)");
  };
  const auto parsed = parse_json(value, "allowed-commands", kMaxValue);
  if (!parsed || !parsed->is_array() || parsed->get_array().empty()) return wrong();
  std::vector<ArgvPattern> patterns;
  for (const auto& item : parsed->get_array()) {
    if (!item.is_array() || item.get_array().empty()) return wrong();
    ArgvPattern pattern;
    for (const auto& word : item.get_array()) {
      if (!word.is_string()) return wrong();
      pattern.emplace_back(sv(word.get_string()));
    }
    if (std::find(pattern.begin(), pattern.end() - 1, "**") != pattern.end() - 1) return wrong();
    patterns.push_back(std::move(pattern));
  }
  d.policy.allowed_commands = std::move(patterns);
  return {};
}

std::expected<void, std::string> read_env(Draft& d, std::string_view value) {
  d.policy.allow_env.reset();
  if (value == "false") return {};
  std::vector<std::string> names;
  for (const auto& part : split(value == "true" ? "*" : value, ',')) {
    const auto name = trim(part);
    if (name != "*" && !is_env_name(name))
      return expected("names of environment variables separated by commas, *, true or false");
    names.emplace_back(name);
  }
  d.policy.allow_env = std::move(names);
  return {};
}

std::expected<void, std::string> read_accounts(Draft& d, std::string_view value) {
  std::vector<std::string> names;
  for (const auto& part : split(value, ',')) {
    const auto name = trim(part);
    if (name != "*" && !is_dns_subdomain(name))
      return expected("names of service accounts separated by commas, or *");
    names.emplace_back(name);
  }
  d.policy.service_accounts = std::move(names);
  return {};
}

std::expected<void, std::string> read_labels(Draft& d, std::string_view value) {
  std::vector<std::string> keys;
  for (const auto& part : split(value, ',')) {
    if (!is_qualified_name(trim(part))) return expected("label keys separated by commas");
    keys.emplace_back(trim(part));
  }
  d.policy.keep_labels = std::move(keys);
  return {};
}

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {"allowed-teams", list(&Policy::allowed_teams)},
      {"allowed-users", list(&Policy::allowed_users)},
      {"approval", read_approval},
      {"approver-teams",
       [](Draft& d, std::string_view v) {
         d.policy.approvers_given = true;
         return list(&Policy::approver_teams)(d, v);
       }},
      {"approver-users",
       [](Draft& d, std::string_view v) {
         d.policy.approvers_given = true;
         return list(&Policy::approver_users)(d, v);
       }},
      {"approval-expires",
       [](Draft& d, std::string_view v) -> std::expected<void, std::string> {
         if (auto read = duration(&Policy::approval_expires, nullptr)(d, v); !read) return read;
         if (d.policy.approval_expires < kMinExpires || d.policy.approval_expires > kMaxExpires)
           return expected("a duration from 1m to 30d");
         return {};
       }},
      {"break-glass-teams", list(&Policy::break_glass_teams)},
      {"templates-only", flag(&Policy::templates_only)},
      {"templates",
       [](Draft& d, std::string_view v) -> std::expected<void, std::string> {
         if (v != "none" && v != "pre-approved") return expected("none or pre-approved");
         d.policy.templates_pre_approved = v == "pre-approved";
         return {};
       }},
      {"allowed-commands", read_commands},
      {"require-reason", flag(&Policy::require_reason)},
      {"allow-interactive", flag(&Policy::allow_interactive)},
      {"allow-env", read_env},
      {"allow-service-accounts", read_accounts},
      {"allow-host-network", flag(&Policy::allow_host_network)},
      {"audit-files", flag(&Policy::audit_files)},
      {"max-timeout", duration(&Policy::max_timeout, &Draft::max_timeout_text)},
      {"default-timeout", duration(&Policy::default_timeout, &Draft::default_timeout_text)},
      {"ttl", duration(&Policy::ttl, nullptr)},
      {"max-concurrent",
       [](Draft& d, std::string_view v) -> std::expected<void, std::string> {
         d.policy.max_concurrent = number(v, 1, kMaxConcurrent);
         if (!d.policy.max_concurrent) return expected(fmt::format("a number from 1 to {}", kMaxConcurrent));
         return {};
       }},
      {"max-cpu", quantity(&Policy::max_cpu)},
      {"max-memory", quantity(&Policy::max_memory)},
      {"container",
       [](Draft& d, std::string_view v) -> std::expected<void, std::string> {
         if (!is_dns_label(v)) return expected("the name of a container");
         d.policy.container = std::string(v);
         return {};
       }},
      {"sidecars",
       [](Draft& d, std::string_view v) -> std::expected<void, std::string> {
         d.policy.sidecars = parse_sidecar_mode(v);
         if (!d.policy.sidecars) return expected("drop, native or keep");
         return {};
       }},
      {"init-containers",
       [](Draft& d, std::string_view v) -> std::expected<void, std::string> {
         d.policy.init_containers = parse_init_mode(v);
         if (!d.policy.init_containers) return expected("run or skip");
         return {};
       }},
      {"rwo-volumes",
       [](Draft& d, std::string_view v) -> std::
                                            expected<void, std::string> {
                                              using Mode = Policy::RwoVolumes;
                                              if (v == "warn")
                                                d.policy.rwo_volumes = Mode::warn;
                                              else if (v == "drop")
                                                d.policy.rwo_volumes = Mode::drop;
                                              else if (v == "read-only")
                                                d.policy.rwo_volumes = Mode::read_only;
                                              else
                                                return expected("warn, drop or read-only");
                                              return {};
                                            }},
      {"keep-labels", read_labels},
      {"keep-mesh", flag(&Policy::keep_mesh)},
  };
  return table;
}

std::unexpected<Error> malformed(std::string_view where, std::string_view name, std::string_view value,
                                 std::string_view wanted) {
  return fail(Errc::forbidden, "policy.malformed",
              fmt::format("{}: the annotation oddjob.dev/{} is '{}', expected {}", where, name,
                          printable(value, 200), wanted),
              "correct it in git; until then OddJob refuses every run of this workload");
}

std::optional<std::string_view> unprefixed(std::string_view key) {
  if (!key.starts_with(names::kPrefix)) return std::nullopt;
  return key.substr(names::kPrefix.size());
}

std::string nearest(std::string_view name) {
  std::vector<std::string_view> known;
  for (const auto& r : rows()) known.push_back(r.name);
  return closest(name, known);
}

std::unexpected<Error> unknown(std::string_view where, std::string_view key, const json::value& value) {
  const auto near = nearest(key.substr(names::kPrefix.size()));
  const auto text = value.is_string() ? std::string(sv(value.get_string())) : json::serialize(value);
  return fail(Errc::forbidden, "policy.unknown_annotation",
              fmt::format("{}: unknown annotation '{}' with the value '{}'", where, printable(key, 200),
                          printable(text, 200)),
              near.empty()
                  ? "OddJob refuses what it does not understand; docs/policy.md lists the annotations"
                  : fmt::format("did you mean 'oddjob.dev/{}'?", near));
}

}  // namespace

bool opted_in(const json::object& annotations) noexcept {
  return annotations.contains("oddjob.dev/allowed-teams") || annotations.contains("oddjob.dev/allowed-users");
}

Result<Policy> parse_policy(const json::object& annotations, std::string_view where) {
  if (!opted_in(annotations)) {
    // Perhaps it was meant to be there.
    for (const auto& [key, value] : annotations)
      if (const auto name = unprefixed(key); name && nearest(*name).starts_with("allowed-"))
        return unknown(where, key, value);
    return fail(Errc::forbidden, "policy.no_annotation",
                fmt::format("{} has neither the annotation oddjob.dev/allowed-teams nor "
                            "oddjob.dev/allowed-users, so nobody may run anything on it",
                            where),
                "add one of them to the workload in git, such as oddjob.dev/allowed-teams: my-team");
  }
  Draft draft;
  for (const auto& [key, value] : annotations) {
    const auto prefixed = unprefixed(key);
    if (!prefixed) continue;
    const auto name = *prefixed;
    const auto row = std::ranges::find(rows(), name, &Row::name);
    if (row == rows().end()) return unknown(where, key, value);
    if (!value.is_string()) return malformed(where, name, json::serialize(value), "a string");
    const auto text = sv(value.get_string());
    if (text.size() > kMaxValue)
      return malformed(where, name, text.substr(0, 60), fmt::format("at most {} bytes", kMaxValue));
    if (const auto read = row->read(draft, trim(text)); !read)
      return malformed(where, name, text, read.error());
  }
  auto& p = draft.policy;
  if (p.default_timeout > p.max_timeout) {
    if (!draft.default_timeout_text.empty() && !draft.max_timeout_text.empty())
      return malformed(where, "default-timeout", draft.default_timeout_text,
                       fmt::format("at most oddjob.dev/max-timeout, which is '{}'",
                                   printable(draft.max_timeout_text, 60)));
    // Only one of them was written; the other gives way.
    if (!draft.max_timeout_text.empty())
      p.default_timeout = p.max_timeout;
    else
      p.max_timeout = p.default_timeout;
  }
  return std::move(p);
}

}  // namespace oddjob::policy
