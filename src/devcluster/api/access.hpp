// Who calls the dev cluster, and what they may: client certificates, bearer
// tokens, RBAC objects.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/json.hpp"
#include "devcluster/registry.hpp"

namespace oddjob::devcluster {

struct User {
  std::string name, uid;
  std::vector<std::string> groups;
};

struct Attributes {
  std::string verb, group, resource, subresource, name_space, name, path;  // path: of non-resource requests
};

// Loop thread only.
class Access {
 public:
  explicit Access(Storage& storage) : storage_(storage) {}
  // Error "Unauthorized" when neither certificate nor token says who it is.
  Result<User> authenticate(std::string_view authorization, std::string_view client_cert_pem) const;
  // By a token alone; nullptr: unknown.
  [[nodiscard]] const User* token_user(std::string_view token) const;
  // A new opaque token for a service account. It ends with `life`, or with the account.
  std::string issue(std::string_view ns, std::string_view service_account, std::string_view uid,
                    Duration life);
  [[nodiscard]] bool allowed(const User& user, const Attributes& a) const;
  // What the user may in a namespace, as the status of a SelfSubjectRulesReview.
  [[nodiscard]] json::object rules(const User& user, std::string_view ns) const;
  // The 403 that a real API server would answer.
  static Error forbidden(const User& user, const Attributes& a);

 private:
  struct Token {
    User user;
    std::string name_space, account;
    Time until;
  };
  // Every rule that holds for the user in the namespace, until `fn` says that it is enough.
  bool any_rule(const User& user, std::string_view ns,
                const std::function<bool(const json::value&)>& fn) const;

  Storage& storage_;
  std::map<std::string, Token, std::less<>> tokens_;  // by SHA-256
};

}  // namespace oddjob::devcluster
