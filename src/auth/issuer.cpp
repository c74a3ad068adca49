#include "auth/issuer.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "core/text.hpp"
#include "net/http.hpp"

namespace oddjob::auth {
namespace {

constexpr std::size_t kMaxIssuers = 32, kMaxList = 100, kMaxText = 1024;
constexpr std::int64_t kMaxPatternMemory = 1 << 20;

std::unexpected<Error> bad(std::string expected) {
  return fail(Errc::invalid_argument, "config.bad_value", "expected " + std::move(expected));
}

Result<std::string> text_of(const json::value& v, std::string_view key, bool may_be_empty = false) {
  if (!v.is_string() || v.get_string().size() > kMaxText) return bad(fmt::format("{}: text", key));
  std::string text(sv(v.get_string()));
  if (text.empty() && !may_be_empty) return bad(fmt::format("{}: text that is not empty", key));
  if (printable(text, 4 * kMaxText) != text)
    return bad(fmt::format("{}: text without control characters", key));
  return text;
}

Result<std::vector<std::string>> texts_of(const json::value& v, std::string_view key) {
  if (!v.is_array() || v.get_array().empty() || v.get_array().size() > kMaxList)
    return bad(fmt::format("{}: a list of 1 to {} texts", key, kMaxList));
  std::vector<std::string> out;
  for (const auto& item : v.get_array()) {
    OJ_TRY(auto text, text_of(item, key));
    out.push_back(std::move(text));
  }
  return out;
}

bool is_scalar(const json::value& v) { return v.is_string() || v.is_bool() || v.is_int64() || v.is_uint64(); }

Result<ClaimCondition> condition_of(std::string_view claim, const json::value& v) {
  ClaimCondition c;
  c.claim = claim;
  const auto add = [&](const json::value& item) {
    if (!is_scalar(item)) return false;
    c.values.push_back(item.is_string() ? std::string(sv(item.get_string())) : json::serialize(item));
    return true;
  };
  if (v.is_object()) {
    const json::object& o = v.get_object();
    if (o.size() != 1 || !o.contains("pattern"))
      return bad(fmt::format("{}: a value, a list of values, or {{pattern: …}}", claim));
    OJ_TRY(c.pattern, text_of(o.at("pattern"), fmt::format("{}.pattern", claim)));
    RE2::Options options(RE2::Quiet);
    options.set_max_mem(kMaxPatternMemory);
    if (const RE2 re(c.pattern, options); !re.ok())
      return bad(fmt::format("{}: a pattern that RE2 can read; {}", claim, re.error()));
    return c;
  }
  if (v.is_array()) {
    if (v.get_array().empty() || v.get_array().size() > kMaxList || !std::ranges::all_of(v.get_array(), add))
      return bad(fmt::format("{}: a list of values", claim));
  } else if (!add(v)) {
    return bad(fmt::format("{}: a value, a list of values, or {{pattern: …}}", claim));
  }
  return c;
}

Result<std::vector<ClaimCondition>> conditions_of(const json::value& v, std::string_view key) {
  if (!v.is_object() || v.get_object().empty() || v.get_object().size() > kMaxList)
    return bad(fmt::format("{}: a mapping of claims to what they must be", key));
  std::vector<ClaimCondition> out;
  for (const auto& [claim, value] : v.get_object()) {
    OJ_TRY(auto condition, condition_of(claim, value));
    out.push_back(std::move(condition));
  }
  return out;
}

// "ci:${repository}": literal text first, so that no machine is called as a person is.
Result<> check_template(const std::string& text) {
  const auto first = text.find("${");
  if (first == 0) return bad("username: literal text before the first ${…}, such as ci:${repository}");
  for (auto at = first; at != std::string::npos; at = text.find("${", at + 1)) {
    const auto end = text.find('}', at);
    if (end == std::string::npos || end == at + 2) return bad("username: ${claim}, with its closing brace");
  }
  if (text.starts_with("system:"))
    return bad("username: a name outside of system:, which is Kubernetes' own");
  return {};
}

Result<WorkloadIdentity> workload_of(const json::value& v) {
  if (!v.is_object()) return bad("workloads: each with claims, username and teams");
  WorkloadIdentity out;
  for (const auto& [key, value] : v.get_object()) {
    if (key == "claims") {
      OJ_TRY(out.claims, conditions_of(value, key));
    } else if (key == "username") {
      OJ_TRY(out.username, text_of(value, key));
      OJ_CHECK(check_template(out.username));
    } else if (key == "teams") {
      OJ_TRY(out.teams, texts_of(value, key));
    } else {
      return bad(fmt::format("claims, username or teams in workloads, got '{}'",
                             printable(std::string_view(key), 60)));
    }
  }
  if (out.claims.empty()) return bad("workloads: claims; without them every token of the issuer would do");
  if (out.username.empty()) return bad("workloads: username");
  return out;
}

Result<Duration> duration_of(const json::value& v, std::string_view key, Duration least, Duration most) {
  const auto text = text_of(v, key);
  if (!text) return fail(text.error());
  const auto d = *text == "0" ? Result<Duration>(Duration::zero()) : parse_duration(*text);
  if (!d) return fail(d.error());
  if (*d < least || *d > most)
    return bad(fmt::format("{}: from {} to {}", key, format_duration(least), format_duration(most)));
  return *d;
}

// What `oddjob login` adds to the authorization request; what protects it is not theirs to say.
Result<std::map<std::string, std::string>> parameters_of(const json::value& v) {
  if (!v.is_object() || v.get_object().size() > kMaxList)
    return bad(fmt::format("loginParameters: a mapping of at most {} names to texts", kMaxList));
  static constexpr std::array kOurs{
      "response_type", "response_mode", "client_id", "client_secret",  "redirect_uri",
      "scope",         "state",         "nonce",     "code_challenge", "code_challenge_method",
      "request",       "request_uri"};
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : v.get_object()) {
    const std::string name(key);
    if (name.empty() || std::ranges::find(kOurs, name) != kOurs.end())
      return bad(
          fmt::format("loginParameters: other parameters than those of `oddjob login` itself, got '{}'",
                      printable(name, 60)));
    OJ_TRY(out[name], text_of(value, "loginParameters." + name, true));
  }
  return out;
}

Result<> check_url(const std::string& url) {
  const auto parsed = net::parse_url(url);
  if (!parsed || parsed->scheme != "https" || !parsed->query.empty() || url.find('#') != std::string::npos ||
      url.find('@') != std::string::npos)
    return bad("issuer: an https URL without query, fragment and user");
  return {};
}

using Setter = std::function<Result<>(Issuer&, const json::value&)>;

const std::map<std::string_view, Setter>& setters() {
  const auto text = [](std::string Issuer::*field, std::string_view key, bool may_be_empty = false) {
    return Setter([=](Issuer& i, const json::value& v) -> Result<> {
      OJ_TRY(i.*field, text_of(v, key, may_be_empty));
      return {};
    });
  };
  const auto texts = [](std::vector<std::string> Issuer::*field, std::string_view key) {
    return Setter([=](Issuer& i, const json::value& v) -> Result<> {
      OJ_TRY(i.*field, texts_of(v, key));
      return {};
    });
  };
  static const std::map<std::string_view, Setter> table = {
      {"issuer", text(&Issuer::url, "issuer")},
      {"audiences", texts(&Issuer::audiences, "audiences")},
      {"authorizedParties", texts(&Issuer::authorized_parties, "authorizedParties")},
      {"usernameClaim", text(&Issuer::username_claim, "usernameClaim")},
      {"usernamePrefix",
       [](Issuer& i, const json::value& v) -> Result<> {
         OJ_TRY(i.username_prefix, text_of(v, "usernamePrefix", true));
         i.prefix_given = true;
         return {};
       }},
      {"groupsClaim", text(&Issuer::groups_claim, "groupsClaim")},
      {"groupsPrefix", text(&Issuer::groups_prefix, "groupsPrefix", true)},
      {"requiredClaims",
       [](Issuer& i, const json::value& v) -> Result<> {
         OJ_TRY(i.required_claims, conditions_of(v, "requiredClaims"));
         return {};
       }},
      {"workloads",
       [](Issuer& i, const json::value& v) -> Result<> {
         if (!v.is_array() || v.get_array().empty() || v.get_array().size() > kMaxList)
           return bad(fmt::format("workloads: a list of 1 to {}", kMaxList));
         for (const auto& item : v.get_array()) {
           OJ_TRY(auto workload, workload_of(item));
           i.workloads.push_back(std::move(workload));
         }
         return {};
       }},
      {"signingAlgs",
       [](Issuer& i, const json::value& v) -> Result<> {
         OJ_TRY(i.algorithms, texts_of(v, "signingAlgs"));
         const auto& known = signing_algorithms();
         if (!std::ranges::all_of(i.algorithms, [&](const std::string& a) {
               return std::ranges::find(known, a) != known.end();
             }))
           return bad("signingAlgs: of " + join(known, ", "));
         return {};
       }},
      {"caFile", text(&Issuer::ca_file, "caFile")},
      {"clientId", text(&Issuer::client_id, "clientId")},
      {"clientSecret", text(&Issuer::client_secret, "clientSecret")},
      {"scopes", texts(&Issuer::scopes, "scopes")},
      {"loginParameters",
       [](Issuer& i, const json::value& v) -> Result<> {
         OJ_TRY(i.login_parameters, parameters_of(v));
         return {};
       }},
      {"clockSkew",
       [](Issuer& i, const json::value& v) -> Result<> {
         OJ_TRY(i.clock_skew, duration_of(v, "clockSkew", Duration::zero(), std::chrono::minutes(5)));
         return {};
       }},
      {"keysMaxAge",
       [](Issuer& i, const json::value& v) -> Result<> {
         OJ_TRY(i.keys_max_age,
                duration_of(v, "keysMaxAge", std::chrono::minutes(1), std::chrono::hours(24)));
         return {};
       }},
  };
  return table;
}

Result<Issuer> issuer_of(const json::value& v) {
  if (!v.is_object()) return bad("an issuer with issuer and audiences");
  Issuer out;
  for (const auto& [key, value] : v.get_object()) {
    const auto found = setters().find(std::string_view(key));
    if (found == setters().end()) {
      std::vector<std::string_view> known;
      for (const auto& row : setters()) known.push_back(row.first);
      const auto near = closest(std::string_view(key), known);
      return fail(Errc::invalid_argument, "config.unknown_key",
                  fmt::format("unknown key '{}'", printable(std::string_view(key), 60)),
                  near.empty() ? std::string() : fmt::format("did you mean '{}'?", near));
    }
    OJ_CHECK(found->second(out, value));
  }
  if (out.url.empty()) return bad("issuer: the URL that `iss` says");
  OJ_CHECK(check_url(out.url));
  if (out.audiences.empty())
    return bad("audiences: without one, tokens that the issuer made for other programs would do here");
  if (!out.workloads.empty()) {
    for (const std::string_view key : {"usernameClaim", "usernamePrefix", "groupsClaim", "groupsPrefix",
                                       "clientId", "clientSecret", "loginParameters"})
      if (v.get_object().contains(key))
        return bad(
            fmt::format("workloads or {}, not both: machines and people are two entries, with "
                        "audiences of their own",
                        key));
  } else if (!out.prefix_given && out.username_claim != "email") {
    out.username_prefix = out.url + "#";
  }
  if (out.algorithms.empty()) out.algorithms = signing_algorithms();
  if (out.scopes.empty()) out.scopes = {"openid", "email", "profile", "offline_access"};
  if (out.client_id.empty() && !out.client_secret.empty()) return bad("clientSecret: with a clientId");
  if (std::ranges::find(out.scopes, "openid") == out.scopes.end()) return bad("scopes: with openid");
  return out;
}

bool may_collide(const Issuer& a, const Issuer& b) {
  for (const auto& x : name_prefixes(a))
    for (const auto& y : name_prefixes(b))
      if (x.starts_with(y) || y.starts_with(x)) return true;
  return false;
}

Result<> check_pair(const Issuer& a, const Issuer& b) {
  if (a.url == b.url) {
    for (const auto& audience : a.audiences)
      if (std::ranges::find(b.audiences, audience) != b.audiences.end())
        return bad(fmt::format("audiences that differ in the two entries of {}, got '{}' in both", a.url,
                               printable(audience, 100)));
  }
  const auto said = [](const Issuer& i) { return i.prefix_given || !i.workloads.empty(); };
  if (a.url != b.url && may_collide(a, b) && !(said(a) && said(b)))
    return bad(fmt::format("usernamePrefix of both {} and {}: they could call two people by one name", a.url,
                           b.url));
  return {};
}

}  // namespace

const std::vector<std::string>& signing_algorithms() {
  static const std::vector<std::string> all = {"RS256", "RS384", "RS512", "PS256", "PS384",
                                               "PS512", "ES256", "ES384", "ES512"};
  return all;
}

std::vector<std::string> name_prefixes(const Issuer& issuer) {
  if (issuer.workloads.empty()) return {issuer.username_prefix};
  std::vector<std::string> out;
  for (const auto& w : issuer.workloads) out.push_back(w.username.substr(0, w.username.find("${")));
  return out;
}

Result<std::vector<Issuer>> parse_issuers(const json::value& list) {
  if (!list.is_array() || list.get_array().size() > kMaxIssuers)
    return bad(fmt::format("a list of at most {} issuers", kMaxIssuers));
  std::vector<Issuer> out;
  for (const auto& item : list.get_array()) {
    auto issuer = issuer_of(item);
    if (!issuer) {
      const auto name = get_string(item, {"issuer"});
      return fail(std::move(issuer.error())
                      .with_context(name.empty() ? fmt::format("issuer {}", out.size() + 1)
                                                 : std::string(printable(name, 200))));
    }
    for (const auto& other : out) OJ_CHECK(check_pair(other, *issuer));
    out.push_back(std::move(*issuer));
  }
  return out;
}

}  // namespace oddjob::auth
