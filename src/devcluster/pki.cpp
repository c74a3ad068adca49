#include "devcluster/pki.hpp"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>

#include "core/digest.hpp"

namespace oddjob::devcluster {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free>>;

std::unexpected<Error> failed(std::string what) {
  return fail(Errc::internal, "pki.failed", "OpenSSL could not " + what);
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(n)};
}

bool extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

bool is_address(const std::string& name) {
  unsigned char buffer[16];
  return inet_pton(AF_INET, name.c_str(), buffer) == 1 || inet_pton(AF_INET6, name.c_str(), buffer) == 1;
}

Result<KeyPair> issue(const KeyPair* ca, const std::string& common_name,
                      const std::vector<std::string>& organizations, const std::vector<std::string>& names) {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  if (!key || !certificate) return failed("make a key");
  X509* x = certificate.get();
  X509_set_version(x, 2);
  const auto serial = random_bytes(8);
  BIGNUM* number = BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), 8, nullptr);
  BN_clear_bit(number, 63);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
  BN_free(number);
  X509_gmtime_adj(X509_getm_notBefore(x), -300);
  X509_gmtime_adj(X509_getm_notAfter(x), 3650L * 86400);
  X509_set_pubkey(x, key.get());
  X509_NAME* subject = X509_get_subject_name(x);
  const auto entry = [&](const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(value.data()),
                               static_cast<int>(value.size()), -1, 0);
  };
  for (const auto& o : organizations) entry("O", o);
  entry("CN", common_name);

  Certificate issuer;
  Key issuer_key;
  if (ca != nullptr) {
    const Bio cert_bio(BIO_new_mem_buf(ca->cert_pem.data(), static_cast<int>(ca->cert_pem.size())));
    const Bio key_bio(BIO_new_mem_buf(ca->key_pem.data(), static_cast<int>(ca->key_pem.size())));
    issuer.reset(PEM_read_bio_X509(cert_bio.get(), nullptr, nullptr, nullptr));
    issuer_key.reset(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
    if (!issuer || !issuer_key) return failed("read the CA");
  }
  X509* signer = issuer ? issuer.get() : x;
  X509_set_issuer_name(x, X509_get_subject_name(signer));
  bool ok = true;
  if (ca == nullptr) {
    ok = extend(x, signer, NID_basic_constraints, "critical,CA:TRUE") &&
         extend(x, signer, NID_key_usage, "critical,keyCertSign,cRLSign") &&
         extend(x, signer, NID_subject_key_identifier, "hash");
  } else {
    ok = extend(x, signer, NID_basic_constraints, "critical,CA:FALSE") &&
         extend(x, signer, NID_key_usage, "critical,digitalSignature") &&
         extend(x, signer, NID_ext_key_usage, names.empty() ? "clientAuth" : "serverAuth") &&
         extend(x, signer, NID_authority_key_identifier, "keyid");
    std::string alternatives;
    for (const auto& name : names)
      alternatives +=
          (alternatives.empty() ? "" : ",") + std::string(is_address(name) ? "IP:" : "DNS:") + name;
    if (!names.empty()) ok = ok && extend(x, signer, NID_subject_alt_name, alternatives);
  }
  if (!ok || X509_sign(x, issuer_key ? issuer_key.get() : key.get(), EVP_sha256()) == 0)
    return failed("sign a certificate");
  KeyPair out;
  const Bio cert_bio(BIO_new(BIO_s_mem())), key_bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(cert_bio.get(), x) != 1 ||
      PEM_write_bio_PrivateKey(key_bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return failed("write a certificate");
  out.cert_pem = text_of(cert_bio.get());
  out.key_pem = text_of(key_bio.get());
  return out;
}

}  // namespace

Result<KeyPair> make_ca(const std::string& common_name) { return issue(nullptr, common_name, {}, {}); }

Result<KeyPair> make_certificate(const KeyPair& ca, const std::string& common_name,
                                 const std::vector<std::string>& organizations,
                                 const std::vector<std::string>& names) {
  return issue(&ca, common_name, organizations, names);
}

}  // namespace oddjob::devcluster
