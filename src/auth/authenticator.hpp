// Who is calling: bearer tokens, static, of OpenID Connect issuers, or by Kubernetes TokenReview.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/oidc.hpp"
#include "auth/teams.hpp"
#include "core/error.hpp"
#include "core/words.hpp"
#include "kube/client.hpp"
#include "net/async.hpp"

namespace oddjob::auth {

// A file of static tokens (YAML):
//   tokens:
//     - {tokenSha256: <hex>, user: ann, teams: [payments], admin: false, auditor: false}
//     - {token: <plain>, user: ci}          # allowed, with a warning: prefer the hash
// Errors name file and entry, never a token: "tokens.malformed", "tokens.unreadable",
// "tokens.duplicate".
struct StaticToken {
  std::string sha256;
  Subject subject;
};
Result<std::vector<StaticToken>> load_static_tokens(std::string_view path);
Result<std::vector<StaticToken>> parse_static_tokens(std::string_view yaml, std::string_view where);

struct AuthOptions {
  std::vector<StaticToken> static_tokens;
  bool token_review = true;
  std::vector<std::string> token_review_audiences;
  Duration cache_ttl = std::chrono::seconds(10);  // of positive and negative reviews
  std::size_t cache_entries = 10000;
  std::vector<std::string> admin_teams, auditor_teams;
  std::vector<NamedTeam> teams;
  std::shared_ptr<Oidc> oidc;  // null: no issuers
};

class Authenticator {
 public:
  // `client` may be null when token_review is off. Loop thread only.
  Authenticator(AuthOptions options, kube::Client* client);
  ~Authenticator();
  // `authorization`: the header's value. Errors, kind unauthenticated:
  // "auth.missing", "auth.malformed", "auth.unknown_token", and those of Oidc; kind
  // unavailable: "auth.review_failed", "auth.keys_unavailable". No message holds the
  // token. Asked in this order: static tokens (by hash); a configured issuer, which
  // alone sees a token with its `iss`; TokenReview.
  net::Task<Result<Subject>> authenticate(std::string_view authorization);
  // The roles of a subject that others have authenticated (the front proxy), who
  // is known() from then on, like one who came with a token.
  Subject admit(Subject subject);
  void replace_static_tokens(std::vector<StaticToken> tokens);  // on reload
  void replace_roles(std::vector<std::string> admin_teams, std::vector<std::string> auditor_teams,
                     std::vector<NamedTeam> teams = {});
  // What is known now of a subject that was identified earlier: for one with a
  // static token, what the file says (nullopt: nothing any more); for others,
  // as they were identified last, or `recorded` itself where that is long ago
  // (nullopt where no issuer that is configured now gives such a name).
  [[nodiscard]] std::optional<Subject> known(const Subject& recorded) const;
  // Where people log in; empty: nowhere.
  [[nodiscard]] std::vector<LoginIssuer> logins() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // reviews under way share it
};

}  // namespace oddjob::auth
