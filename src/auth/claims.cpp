#include "auth/claims.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/text.hpp"

namespace oddjob::auth {
namespace {

constexpr std::size_t kMaxName = 256, kMaxGroups = 1000;
constexpr std::size_t kMaxMatched = 4096;

std::unexpected<Error> refused(std::string code, std::string message, std::string hint = {}) {
  return fail(Errc::unauthenticated, std::move(code), std::move(message), std::move(hint));
}

// Names end up in the audit, in logs and on terminals.
bool is_name(std::string_view s) {
  return !s.empty() && s.size() <= kMaxName && trim(s).size() == s.size() && valid_utf8(s) &&
         printable(s, 4 * kMaxName) == s;
}

// NumericDate (RFC 7519): seconds, perhaps with a fraction. nullopt: absent.
Result<std::optional<Time>> time_of(const json::value& claims, std::string_view name) {
  const json::value* v = find(claims, {name});
  if (v == nullptr) return std::nullopt;
  double seconds = NAN;
  if (v->is_int64()) seconds = static_cast<double>(v->get_int64());
  if (v->is_uint64()) seconds = static_cast<double>(v->get_uint64());
  if (v->is_double()) seconds = v->get_double();
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e11)
    return refused("auth.token_malformed", fmt::format("the bearer token's `{}` is no time", name));
  return Time(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6)));
}

bool has(const std::vector<std::string>& list, std::string_view s) {
  return std::ranges::find(list, s) != list.end();
}

std::string scalar_text(const json::value& v) {
  if (v.is_string()) return std::string(sv(v.get_string()));
  if (v.is_bool() || v.is_int64() || v.is_uint64()) return json::serialize(v);
  return {};
}

std::vector<std::string> audiences_of(const json::value& claims) {
  std::vector<std::string> out;
  const json::value* aud = find(claims, {"aud"});
  if (aud != nullptr && aud->is_string()) out.emplace_back(sv(aud->get_string()));
  if (aud != nullptr && aud->is_array())
    for (const json::value& a : aud->get_array())
      if (a.is_string()) out.emplace_back(sv(a.get_string()));
  return out;
}

Result<> check_addressee(const json::value& claims, const Issuer& issuer) {
  if (get_string(claims, {"iss"}) != issuer.url)
    return refused("auth.token_issuer", "the bearer token is of another issuer than the one that signed it");
  const auto audiences = audiences_of(claims);
  if (!audience_fits(claims, issuer))
    return refused("auth.token_audience",
                   fmt::format("the bearer token was made for {}, not for this server",
                               audiences.empty() ? "nobody" : "'" + printable(audiences.front(), 100) + "'"),
                   issuer.workloads.empty() ? "`oddjob login` gets one for this server"
                                            : "a pipeline asks its CI system for one with the audience " +
                                                  join(issuer.audiences, " or "));
  // In tokens of people (OpenID Connect Core 3.1.3.7). A machine's are held to its claims.
  const bool people = issuer.workloads.empty();
  if (!people && issuer.authorized_parties.empty()) return {};
  const json::value* azp = find(claims, {"azp"});
  const std::string party = azp == nullptr ? std::string() : scalar_text(*azp);
  if (azp == nullptr && (!people || audiences.size() <= 1) && issuer.authorized_parties.empty()) return {};
  const bool known =
      issuer.authorized_parties.empty()
          ? has(issuer.audiences, party) || (!issuer.client_id.empty() && party == issuer.client_id)
          : has(issuer.authorized_parties, party);
  if (party.empty() || !known)
    return refused("auth.token_party",
                   party.empty()
                       ? "the bearer token is for several audiences and does not say (`azp`) who asked for it"
                       : fmt::format("the bearer token was given to '{}', which is not accepted here",
                                     printable(party, 100)));
  return {};
}

Result<> check_times(const json::value& claims, const Issuer& issuer, Time now) {
  OJ_TRY(const auto exp, time_of(claims, "exp"));
  OJ_TRY(const auto nbf, time_of(claims, "nbf"));
  OJ_TRY(const auto iat, time_of(claims, "iat"));
  if (!exp) return refused("auth.token_malformed", "the bearer token does not say when it expires (`exp`)");
  if (now >= *exp + issuer.clock_skew)
    return refused("auth.token_expired", fmt::format("the bearer token expired at {}", format_time(*exp)),
                   issuer.workloads.empty() ? "run `oddjob login`"
                                            : "a pipeline asks its CI system for a new one in each job");
  for (const auto& from : {nbf, iat})
    if (from && now + issuer.clock_skew < *from)
      return refused("auth.token_not_yet",
                     fmt::format("the bearer token is not valid before {}", format_time(*from)),
                     "do the clocks of this server and of the issuer agree?");
  return {};
}

// "ci:${repository}" filled in; nullopt where a claim is missing or no plain text.
std::optional<std::string> filled(const std::string& text, const json::value& claims) {
  std::string out;
  std::size_t at = 0;
  while (true) {
    const auto open = text.find("${", at);
    out += text.substr(at, open == std::string::npos ? open : open - at);
    if (open == std::string::npos) return out;
    const auto close = text.find('}', open);
    const json::value* v = find(claims, {std::string_view(text).substr(open + 2, close - open - 2)});
    const std::string value = v == nullptr ? std::string() : scalar_text(*v);
    if (value.empty()) return std::nullopt;
    out += value;
    at = close + 1;
  }
}

Result<Subject> workload_subject(const json::value& claims, const Issuer& issuer) {
  for (const WorkloadIdentity& w : issuer.workloads) {
    if (!std::ranges::all_of(w.claims, [&](const ClaimCondition& c) { return holds(c, claims); })) continue;
    Subject s;
    s.how = AuthMethod::oidc;
    const auto name = filled(w.username, claims);
    if (!name || !is_name(*name))
      return refused("auth.token_username",
                     fmt::format("the bearer token has no claims that make a name of '{}'", w.username));
    s.user = *name;
    s.teams = w.teams;
    return s;
  }
  return refused("auth.token_claim",
                 fmt::format("the bearer token of '{}' is none of the workloads that are accepted here",
                             printable(get_string(claims, {"sub"}), 200)),
                 "its claims must be those of an entry of `workloads` in the server's configuration");
}

Result<Subject> person_subject(const json::value& claims, const Issuer& issuer) {
  const std::string_view name = get_string(claims, {issuer.username_claim});
  if (issuer.username_claim == "email" && !get_bool(claims, {"email_verified"}))
    return refused("auth.token_email",
                   "the issuer does not say that the bearer token's e-mail address is verified",
                   "verify the address with the identity provider, or configure another usernameClaim");
  Subject s;
  s.how = AuthMethod::oidc;
  s.user = issuer.username_prefix + std::string(name);
  if (name.empty() || !is_name(s.user) || s.user.starts_with("system:"))
    return refused(
        "auth.token_username",
        fmt::format("the bearer token's claim '{}' is missing or is no user name", issuer.username_claim));
  if (issuer.groups_claim.empty()) return s;
  const json::value* groups = find(claims, {issuer.groups_claim});
  const auto add = [&](const json::value& v) {
    if (!v.is_string() || v.get_string().empty()) return;
    std::string group = issuer.groups_prefix + std::string(sv(v.get_string()));
    if (is_name(group) && !group.starts_with("system:") && !has(s.teams, group))
      s.teams.push_back(std::move(group));
  };
  if (groups == nullptr || groups->is_null()) return s;
  if (!groups->is_array()) {
    if (!groups->is_string())
      return refused("auth.token_malformed",
                     fmt::format("the bearer token's claim '{}' is no list of groups", issuer.groups_claim));
    add(*groups);
    return s;
  }
  if (groups->get_array().size() > kMaxGroups)
    return refused("auth.token_malformed",
                   fmt::format("the bearer token's claim '{}' has more than {} groups", issuer.groups_claim,
                               kMaxGroups));
  for (const json::value& v : groups->get_array()) add(v);
  return s;
}

}  // namespace

bool audience_fits(const json::value& claims, const Issuer& issuer) {
  const auto audiences = audiences_of(claims);
  return std::ranges::any_of(audiences, [&](const std::string& a) { return has(issuer.audiences, a); });
}

bool holds(const ClaimCondition& condition, const json::value& claims) {
  const json::value* v = find(claims, {condition.claim});
  if (v == nullptr) return false;
  const auto one = [&](const json::value& item) {
    const std::string text = scalar_text(item);
    if (text.empty() && !item.is_string()) return false;
    if (!condition.values.empty()) return has(condition.values, text);
    return text.size() <= kMaxMatched && RE2::FullMatch(text, condition.pattern);
  };
  return v->is_array() ? std::ranges::any_of(v->get_array(), one) : one(*v);
}

Result<Subject> subject_of(const json::value& claims, const Issuer& issuer, Time now) {
  if (!claims.is_object()) return refused("auth.token_malformed", "the bearer token's payload is no object");
  OJ_CHECK(check_addressee(claims, issuer));
  OJ_CHECK(check_times(claims, issuer, now));
  if (find(claims, {"events"}) != nullptr)
    return refused("auth.token_type", "the bearer token tells of an event; it is nobody's identity");
  for (const ClaimCondition& c : issuer.required_claims)
    if (!holds(c, claims))
      return refused("auth.token_claim",
                     fmt::format("the bearer token's claim '{}' is not what this server asks for", c.claim));
  return issuer.workloads.empty() ? person_subject(claims, issuer) : workload_subject(claims, issuer);
}

}  // namespace oddjob::auth
