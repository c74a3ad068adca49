// An OpenID Connect issuer whose tokens are accepted, as it is configured
// (`auth.oidc`, docs/identity.md). Values and their reading; no I/O.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob::auth {

// What one claim must be: one of `values` exactly, or all of it matched by
// `pattern` (RE2). A claim that is a list holds where one of its items does.
struct ClaimCondition {
  std::string claim;
  std::vector<std::string> values;  // numbers and booleans as JSON writes them
  std::string pattern;              // used where `values` is empty
  friend bool operator==(const ClaimCondition&, const ClaimCondition&) = default;
};

// A machine's identity: which tokens it is, what it is called, its teams.
struct WorkloadIdentity {
  std::vector<ClaimCondition> claims;  // all must hold; never empty
  std::string username;                // "ci:${repository}": begins with literal text
  std::vector<std::string> teams;
  friend bool operator==(const WorkloadIdentity&, const WorkloadIdentity&) = default;
};

struct Issuer {
  std::string url;                     // as `iss` says it, to the byte; https
  std::vector<std::string> audiences;  // one of them must be in `aud`; never empty
  std::vector<std::string> authorized_parties;
  std::string username_claim = "sub";
  std::string username_prefix;  // as it is used; see prefix_given
  bool prefix_given = false;    // the configuration says it, be it empty
  std::string groups_claim, groups_prefix;
  std::vector<ClaimCondition> required_claims;
  std::vector<WorkloadIdentity> workloads;  // not empty: tokens are machines', not people's
  std::vector<std::string> algorithms;      // never empty, asymmetric ones only
  std::string ca_file, ca_pem;              // pem: read by who wires the server; empty: the system's
  std::string client_id;                    // for `oddjob login`; empty: nobody logs in here
  std::vector<std::string> scopes;
  // Of a native client whose provider asks for one all the same: everybody who logs in is given it
  // (RFC 8252, 8.5), so it proves nothing and is no secret.
  std::string client_secret;
  std::map<std::string, std::string> login_parameters;  // more for the provider's login page
  Duration clock_skew = std::chrono::seconds(30);
  Duration keys_max_age = std::chrono::hours(1);  // how long keys hold while the issuer is down
  friend bool operator==(const Issuer&, const Issuer&) = default;
};

// RS*, PS* and ES*: the signatures that are accepted where nothing is said.
const std::vector<std::string>& signing_algorithms();

// The list `auth.oidc`. Without usernamePrefix it is "<issuer>#", as
// kube-apiserver has it, and nothing for the claim `email`. Two entries may have
// one issuer where no audience is in both; two issuers that could give one name
// must both say their prefix. Errors: "config.bad_value", naming the issuer and
// what was expected.
Result<std::vector<Issuer>> parse_issuers(const json::value& list);

// The literal text that every name from this issuer begins with.
std::vector<std::string> name_prefixes(const Issuer& issuer);

}  // namespace oddjob::auth
