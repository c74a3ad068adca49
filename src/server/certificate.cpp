#include "server/certificate.hpp"

#include "core/digest.hpp"
#include "fs/files.hpp"

namespace oddjob::server {
namespace {

constexpr std::size_t kMaxPem = 1U << 20U;

std::string digest_of(const CertificateFiles::Pair& pair) {
  return sha256_hex(sha256_hex(pair.cert_pem) + sha256_hex(pair.key_pem));
}

}  // namespace

CertificateFiles::CertificateFiles(std::string cert_file, std::string key_file)
    : cert_file_(std::move(cert_file)), key_file_(std::move(key_file)) {}

Result<CertificateFiles::Pair> CertificateFiles::read() const {
  Pair pair;
  OJ_TRY(pair.cert_pem, fs::read_file(cert_file_, kMaxPem, "config.tls_unreadable"));
  OJ_TRY(pair.key_pem, fs::read_file(key_file_, kMaxPem, "config.tls_unreadable"));
  return pair;
}

Result<std::optional<CertificateFiles::Pair>> CertificateFiles::changed() const {
  OJ_TRY(auto pair, read());
  if (digest_of(pair) == taken_) return std::nullopt;
  return pair;
}

void CertificateFiles::taken(const Pair& pair) { taken_ = digest_of(pair); }

}  // namespace oddjob::server
