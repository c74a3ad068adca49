#include "auth/front_proxy.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "core/text.hpp"

namespace oddjob::auth {
namespace {

constexpr std::string_view kConfigMap = "kube-system/extension-apiserver-authentication";
constexpr std::size_t kMaxPem = 1U << 20U;
constexpr std::size_t kMaxCertificates = 100;  // of a bundle, and of a chain
constexpr std::size_t kMaxNames = 100;         // headers, allowed names
constexpr std::size_t kMaxName = 1024, kMaxGroups = 5000;

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_STORE* p) const { X509_STORE_free(p); }
  void operator()(X509_STORE_CTX* p) const { X509_STORE_CTX_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

std::vector<Owned<X509>> certificates(std::string_view pem) {
  std::vector<Owned<X509>> out;
  if (pem.size() > kMaxPem) return out;
  const Owned<BIO> memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (memory != nullptr && out.size() < kMaxCertificates) {
    Owned<X509> next(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
    if (next == nullptr) break;
    out.push_back(std::move(next));
  }
  ERR_clear_error();  // the end of the list is an error to OpenSSL
  return out;
}

// The last common name, as Go (and so every other aggregated API server) reads it.
std::string common_name(X509* certificate) {
  const X509_NAME* name = X509_get_subject_name(certificate);
  int at = -1;
  for (int next = at; (next = X509_NAME_get_index_by_NID(name, NID_commonName, next)) >= 0;) at = next;
  if (at < 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  if (size < 0) return {};
  std::string out(reinterpret_cast<char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return out;
}

std::unexpected<Error> unreadable(std::string_view key, std::string_view what) {
  return fail(Errc::failed_precondition, "auth.front_proxy_config",
              fmt::format("ConfigMap {}: {}: {}", kConfigMap, key, what));
}

Result<std::vector<std::string>> names(const json::value& config_map, std::string_view key) {
  std::vector<std::string> out;
  const auto text = get_string(config_map, {"data", key});
  if (text.empty()) return out;
  const auto list = parse_json(text, key, kMaxPem);
  if (!list || !list->is_array() || list->get_array().size() > kMaxNames)
    return unreadable(key, "not a JSON list of names");
  for (const auto& v : list->get_array()) {
    if (!v.is_string() || v.get_string().empty() || v.get_string().size() > kMaxName)
      return unreadable(key, "not a JSON list of names");
    out.emplace_back(sv(v.get_string()));
  }
  return out;
}

bool share_one(const std::vector<Owned<X509>>& a, const std::vector<Owned<X509>>& b) {
  return std::ranges::any_of(a, [&](const auto& x) {
    return std::ranges::any_of(b, [&](const auto& y) { return X509_cmp(x.get(), y.get()) == 0; });
  });
}

bool is_plain(std::string_view s) {
  return !s.empty() && s.size() <= kMaxName &&
         std::ranges::none_of(s, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }) &&
         valid_utf8(s);
}

}  // namespace

Result<RequestHeaders> parse_request_headers(const json::value& config_map) {
  RequestHeaders out;
  out.ca_pem = get_string(config_map, {"data", "requestheader-client-ca-file"});
  if (out.ca_pem.empty())
    return fail(
        Errc::failed_precondition, "auth.front_proxy_off",
        fmt::format("ConfigMap {} has no requestheader-client-ca-file: the API server is no front proxy",
                    kConfigMap),
        "start kube-apiserver with --requestheader-client-ca-file and --proxy-client-cert-file");
  const auto authorities = certificates(out.ca_pem);
  if (authorities.empty()) return unreadable("requestheader-client-ca-file", "no certificate in it");
  OJ_TRY(out.allowed_names, names(config_map, "requestheader-allowed-names"));
  OJ_TRY(out.user_headers, names(config_map, "requestheader-username-headers"));
  OJ_TRY(out.group_headers, names(config_map, "requestheader-group-headers"));
  if (out.user_headers.empty()) return unreadable("requestheader-username-headers", "no header in it");
  if (out.allowed_names.empty() &&
      share_one(authorities, certificates(get_string(config_map, {"data", "client-ca-file"}))))
    return fail(
        Errc::failed_precondition, "auth.front_proxy_unsafe",
        "the request-header CA of the API server signs client certificates too, and no name is named: "
        "each of them would pass for the front proxy",
        "give the API server --requestheader-allowed-names, or a CA of its own for the front proxy");
  return out;
}

Result<> check_front_proxy(const RequestHeaders& known, std::string_view chain_pem) {
  const auto untrusted = [](std::string why) {
    return fail(Errc::unauthenticated, "auth.front_proxy_untrusted",
                "the client certificate is not the API server's front proxy's: " + std::move(why),
                "its authority is to be that in ConfigMap kube-system/extension-apiserver-authentication; "
                "does something between the API server and OddJob end TLS?");
  };
  auto chain = certificates(chain_pem);
  if (chain.empty())
    return fail(Errc::unauthenticated, "auth.front_proxy_none",
                "this path is for the Kubernetes API server, which shows a client certificate here",
                "ask the API server for it (`kubectl oddjob`), or come with a token to /api/v1");
  const Owned<X509_STORE> store(X509_STORE_new());
  const Owned<X509_STORE_CTX> context(X509_STORE_CTX_new());
  const std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> others(
      sk_X509_new_null(), [](STACK_OF(X509) * s) { sk_X509_free(s); });
  if (!store || !context || !others) return untrusted("out of memory");
  for (const auto& authority : certificates(known.ca_pem)) X509_STORE_add_cert(store.get(), authority.get());
  for (std::size_t i = 1; i < chain.size(); ++i) sk_X509_push(others.get(), chain[i].get());
  if (X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), others.get()) != 1)
    return untrusted("it cannot be checked");
  // Whatever is in the bundle is trusted, root or not, as Go has it.
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_PARTIAL_CHAIN);
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_CLIENT);
  const bool good = X509_verify_cert(context.get()) == 1;
  const int why = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (!good) return untrusted(X509_verify_cert_error_string(why));
  const auto name = common_name(chain.front().get());
  if (!known.allowed_names.empty() &&
      std::ranges::find(known.allowed_names, name) == known.allowed_names.end())
    return fail(Errc::unauthenticated, "auth.front_proxy_name",
                fmt::format("the client certificate's common name \"{}\" is none of the front proxy's",
                            printable(name, 100)),
                "--requestheader-allowed-names of kube-apiserver lists them");
  return {};
}

Result<Subject> subject_of_headers(const RequestHeaders& known, const net::Headers& headers) {
  Subject s;
  s.how = AuthMethod::front_proxy;
  for (const auto& name : known.user_headers)
    if (s.user.empty()) s.user = trim(headers.get(name));
  const auto refuse = [](std::string_view what) {
    return fail(Errc::unauthenticated, "auth.front_proxy_user", fmt::format("the API server named {}", what));
  };
  if (s.user.empty()) return refuse("no user");
  if (!is_plain(s.user)) return refuse("a user whose name is too long, or no text");
  for (const auto& wanted : known.group_headers) {
    for (const auto& [name, value] : headers) {
      if (ascii_lower(name) != ascii_lower(wanted)) continue;
      const auto group = trim(value);
      if (group.empty()) continue;
      if (!is_plain(group)) return refuse("a group whose name is too long, or no text");
      if (s.teams.size() >= kMaxGroups) return refuse("a user with too many groups");
      s.teams.emplace_back(group);
    }
  }
  return s;
}

std::string forwarded_from(const net::Headers& headers) {
  // Each proxy adds at the end; what stands before is what the client claimed.
  std::string_view last;
  for (const auto& [name, value] : headers)
    if (ascii_lower(name) == "x-forwarded-for") last = value;
  if (const auto comma = last.rfind(','); comma != std::string_view::npos) last.remove_prefix(comma + 1);
  last = trim(last);
  const bool address = last.size() <= 64 && std::ranges::all_of(last, [](char c) {
                         return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
                                c == '.' || c == ':';
                       });
  return address ? std::string(last) : std::string();
}

}  // namespace oddjob::auth
