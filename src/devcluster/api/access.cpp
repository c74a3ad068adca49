#include "devcluster/api/access.hpp"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>

#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob::devcluster {
namespace {

constexpr std::size_t kMaxTokens = 10000;

// CommonName is the user, each Organization a group; net has verified the chain.
Result<User> certificate_user(std::string_view pem) {
  BIO* memory = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(memory, nullptr, nullptr, nullptr);
  BIO_free(memory);
  if (certificate == nullptr) return fail(Errc::unauthenticated, "Unauthorized", "Unauthorized");
  User user;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  for (int i = 0; i < X509_NAME_entry_count(subject); ++i) {
    const auto* entry = X509_NAME_get_entry(subject, i);
    const int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    unsigned char* utf8 = nullptr;
    const int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    if (n < 0) continue;
    std::string value(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(n));
    OPENSSL_free(utf8);
    if (nid == NID_commonName) user.name = std::move(value);
    if (nid == NID_organizationName) user.groups.push_back(std::move(value));
  }
  X509_free(certificate);
  user.groups.emplace_back("system:authenticated");
  return user;
}

bool listed(const json::value& rule, std::string_view field, std::string_view wanted) {
  const auto* list = find_array(rule, {field});
  return list != nullptr && std::ranges::any_of(*list, [&](const json::value& v) {
           return v.is_string() && (v == "*" || sv(v.get_string()) == wanted);
         });
}

bool rule_allows(const json::value& rule, const Attributes& a) {
  if (!listed(rule, "verbs", a.verb)) return false;
  if (!a.path.empty()) {
    const auto* urls = find_array(rule, {"nonResourceURLs"});
    return urls != nullptr && std::ranges::any_of(*urls, [&](const json::value& v) {
             const auto u = v.is_string() ? sv(v.get_string()) : std::string_view{};
             return u == a.path ||
                    (u.ends_with('*') && std::string_view(a.path).starts_with(u.substr(0, u.size() - 1)));
           });
  }
  const std::string resource = a.subresource.empty() ? a.resource : a.resource + "/" + a.subresource;
  if (!listed(rule, "apiGroups", a.group)) return false;
  if (!listed(rule, "resources", resource) &&
      !(a.subresource.empty() ? false : listed(rule, "resources", "*/" + a.subresource)))
    return false;
  const auto* names = find_array(rule, {"resourceNames"});
  return names == nullptr || names->empty() ||
         std::ranges::find(*names, json::value(json::string(a.name))) != names->end();
}

bool subject_is(const json::value& subject, const User& user) {
  const auto kind = get_string(subject, {"kind"}), name = get_string(subject, {"name"});
  if (kind == "User") return name == user.name;
  if (kind == "Group") return std::ranges::find(user.groups, name) != user.groups.end();
  return kind == "ServiceAccount" &&
         fmt::format("system:serviceaccount:{}:{}", get_string(subject, {"namespace"}), name) == user.name;
}

}  // namespace

const User* Access::token_user(std::string_view token) const {
  const auto found = tokens_.find(sha256_hex(token));
  if (found == tokens_.end()) return nullptr;
  const auto& t = found->second;
  const auto account = storage_.get("/serviceaccounts", t.name_space, t.account);
  const bool alive =
      account && get_string(*account, {"metadata", "uid"}) == t.user.uid && system_clock().now() < t.until;
  return alive ? &t.user : nullptr;
}

Result<User> Access::authenticate(std::string_view authorization, std::string_view client_cert_pem) const {
  if (ascii_lower(authorization.substr(0, 7)) == "bearer ") {
    if (const auto* user = token_user(trim(authorization.substr(7)))) return *user;
    return fail(Errc::unauthenticated, "Unauthorized", "Unauthorized");
  }
  if (!client_cert_pem.empty()) return certificate_user(client_cert_pem);
  return fail(Errc::unauthenticated, "Unauthorized", "Unauthorized");
}

std::string Access::issue(std::string_view ns, std::string_view service_account, std::string_view uid,
                          Duration life) {
  std::string token = "dev." + base64url_encode(random_bytes(32));
  const auto now = system_clock().now();
  Token t{{fmt::format("system:serviceaccount:{}:{}", ns, service_account), std::string(uid), {}},
          std::string(ns),
          std::string(service_account),
          now + life};
  t.user.groups = {"system:serviceaccounts", fmt::format("system:serviceaccounts:{}", ns),
                   "system:authenticated"};
  if (tokens_.size() >= kMaxTokens) {
    std::erase_if(tokens_, [&](const auto& known) { return known.second.until <= now; });
    if (tokens_.size() >= kMaxTokens)
      tokens_.erase(
          std::ranges::min_element(tokens_, {}, [](const auto& known) { return known.second.until; }));
  }
  tokens_[sha256_hex(token)] = std::move(t);
  return token;
}

bool Access::any_rule(const User& user, std::string_view ns,
                      const std::function<bool(const json::value&)>& fn) const {
  const auto bound = [&](const std::string& bindings, std::string_view where) {
    for (const auto& binding : storage_.list("rbac.authorization.k8s.io/" + bindings, where)) {
      const auto* subjects = find_array(*binding, {"subjects"});
      if (subjects == nullptr ||
          std::ranges::none_of(*subjects, [&](const json::value& s) { return subject_is(s, user); }))
        continue;
      const bool cluster = get_string(*binding, {"roleRef", "kind"}) == "ClusterRole";
      const auto role =
          storage_.get(cluster ? "rbac.authorization.k8s.io/clusterroles" : "rbac.authorization.k8s.io/roles",
                       cluster ? "" : where, get_string(*binding, {"roleRef", "name"}));
      const auto* rules = role ? find_array(*role, {"rules"}) : nullptr;
      if (rules != nullptr && std::ranges::any_of(*rules, fn)) return true;
    }
    return false;
  };
  return bound("clusterrolebindings", "") || (!ns.empty() && bound("rolebindings", ns));
}

bool Access::allowed(const User& user, const Attributes& a) const {
  if (std::ranges::find(user.groups, "system:masters") != user.groups.end()) return true;
  // What every authenticated caller may: discovery, and asking about themselves.
  if (!a.path.empty() && a.verb == "get") return true;
  if (a.verb == "create" && (a.resource == "selfsubjectaccessreviews" || a.resource == "selfsubjectreviews" ||
                             a.resource == "selfsubjectrulesreviews"))
    return true;
  return any_rule(user, a.name_space, [&](const json::value& rule) { return rule_allows(rule, a); });
}

json::object Access::rules(const User& user, std::string_view ns) const {
  json::array resources, urls;
  const auto add = [&](const json::value& rule) {
    if (find(rule, {"nonResourceURLs"}) != nullptr)
      urls.push_back(rule);
    else
      resources.push_back(rule);
    return false;
  };
  if (std::ranges::find(user.groups, "system:masters") != user.groups.end()) {
    const json::array all{"*"};
    add(json::object{{"verbs", all}, {"apiGroups", all}, {"resources", all}});
    add(json::object{{"verbs", all}, {"nonResourceURLs", all}});
  }
  add(json::object{{"verbs", json::array{"create"}},
                   {"apiGroups", json::array{"authorization.k8s.io"}},
                   {"resources", json::array{"selfsubjectaccessreviews", "selfsubjectrulesreviews"}}});
  add(json::object{{"verbs", json::array{"create"}},
                   {"apiGroups", json::array{"authentication.k8s.io"}},
                   {"resources", json::array{"selfsubjectreviews"}}});
  (void)any_rule(user, ns, add);
  return {
      {"resourceRules", std::move(resources)}, {"nonResourceRules", std::move(urls)}, {"incomplete", false}};
}

Error Access::forbidden(const User& user, const Attributes& a) {
  if (!a.path.empty())
    return {Errc::forbidden,
            "Forbidden",
            fmt::format("forbidden: User \"{}\" cannot {} path \"{}\"", user.name, a.verb, a.path),
            {},
            0};
  const std::string resource = a.subresource.empty() ? a.resource : a.resource + "/" + a.subresource;
  const std::string qualified = a.group.empty() ? a.resource : a.resource + "." + a.group;
  const std::string where =
      a.name_space.empty() ? " at the cluster scope" : fmt::format(" in the namespace \"{}\"", a.name_space);
  const std::string what = a.name.empty() ? fmt::format("{} is forbidden", qualified)
                                          : fmt::format("{} \"{}\" is forbidden", qualified, a.name);
  return {Errc::forbidden,
          "Forbidden",
          fmt::format("{}: User \"{}\" cannot {} resource \"{}\" in API group \"{}\"{}", what, user.name,
                      a.verb, resource, a.group, where),
          {},
          0};
}

}  // namespace oddjob::devcluster
