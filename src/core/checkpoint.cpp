#include "core/checkpoint.hpp"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <array>
#include <charconv>

#include "core/digest.hpp"
#include "core/text.hpp"

namespace oddjob {
namespace {

constexpr std::size_t kMaxNote = 16U << 10U, kMaxOrigin = 200;
constexpr std::size_t kKeyBytes = 32, kIdBytes = 4, kSignatureBytes = 64, kHashBytes = 32;
constexpr std::string_view kDash = "\xe2\x80\x94 ", kTime = "time ";
constexpr char kEd25519 = 1;  // the algorithm's number in a key id

struct FreeKey {
  void operator()(EVP_PKEY* k) const { EVP_PKEY_free(k); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeKey>;

std::unexpected<Error> malformed(std::string_view what) {
  return fail(Errc::invalid_argument, "checkpoint.malformed", fmt::format("the checkpoint {}", what));
}

// A key without a passphrase: one that has one must not make us ask at the terminal.
int no_passphrase(char* /*out*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

KeyPtr read_pem(std::string_view pem, bool is_private) {
  if (pem.size() > kMaxNote) return nullptr;
  BIO* in = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  KeyPtr key(in == nullptr ? nullptr
             : is_private  ? PEM_read_bio_PrivateKey(in, nullptr, no_passphrase, nullptr)
                           : PEM_read_bio_PUBKEY(in, nullptr, no_passphrase, nullptr));
  BIO_free(in);
  ERR_clear_error();
  if (key && EVP_PKEY_id(key.get()) != EVP_PKEY_ED25519) return nullptr;
  return key;
}

std::string raw_public(EVP_PKEY* key) {
  std::string out(kKeyBytes, '\0');
  std::size_t size = out.size();
  if (EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(out.data()), &size) != 1)
    std::abort();
  return out;
}

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    unsigned byte = 0;
    std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    out += static_cast<char>(byte);
  }
  return out;
}

std::string key_id(std::string_view name, EVP_PKEY* key) {
  return from_hex(sha256_hex(std::string(name) + "\n" + kEd25519 + raw_public(key)).substr(0, 2 * kIdBytes));
}

bool good_origin(std::string_view origin) {
  return !origin.empty() && origin.size() <= kMaxOrigin &&
         origin.find_first_of(" \t\r\n+") == std::string_view::npos &&
         printable(origin, kMaxOrigin) == origin;
}

bool verify(EVP_PKEY* key, std::string_view text, std::string_view signature) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  const auto* s = reinterpret_cast<const unsigned char*>(signature.data());
  const auto* t = reinterpret_cast<const unsigned char*>(text.data());
  const bool good = context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key) == 1 &&
                    EVP_DigestVerify(context.get(), s, signature.size(), t, text.size()) == 1;
  ERR_clear_error();
  return good;
}

// The next line of `rest`, which moves on behind it. False: there is no whole one.
bool next_line(std::string_view& rest, std::string_view& line) {
  const auto end = rest.find('\n');
  if (end == std::string_view::npos) return false;
  line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return true;
}

}  // namespace

struct CheckpointSigner::Key {
  KeyPtr pkey;
};

Result<CheckpointSigner> CheckpointSigner::from_pem(std::string_view pem, std::string origin,
                                                    std::string_view where) {
  if (!good_origin(origin))
    return fail(Errc::invalid_argument, "checkpoint.bad_origin",
                fmt::format("'{}' is no name for the chain: it has white space or '+', or is too long",
                            printable(origin, 100)));
  auto key = std::make_shared<Key>();
  key->pkey = read_pem(pem, true);
  if (!key->pkey)
    return fail(Errc::invalid_argument, "checkpoint.bad_key",
                fmt::format("{} holds no Ed25519 private key without a passphrase", where),
                "openssl genpkey -algorithm ed25519 makes one");
  return CheckpointSigner(std::move(key), std::move(origin));
}

std::string CheckpointSigner::sign(const Checkpoint& c) const {
  const auto text = fmt::format("{}\n{}\n{}\n{}{}\n", origin_, c.records, base64_encode(from_hex(c.hash)),
                                kTime, format_time(c.time));
  auto* key = key_->pkey.get();
  std::array<unsigned char, kSignatureBytes> signature{};
  std::size_t size = signature.size();
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size,
                     reinterpret_cast<const unsigned char*>(text.data()), text.size()) != 1)
    std::abort();  // a key that was read signs
  const std::string bytes(reinterpret_cast<const char*>(signature.data()), size);
  return fmt::format("{}\n{}{} {}\n", text, kDash, origin_, base64_encode(key_id(origin_, key) + bytes));
}

Result<Checkpoint> open_checkpoint(std::string_view note, std::string_view public_pem) {
  const auto key = read_pem(public_pem, false);
  if (!key)
    return fail(Errc::invalid_argument, "checkpoint.bad_key", "the public key is no Ed25519 key in PEM",
                "openssl pkey -pubout -in KEY prints it");
  if (note.size() > kMaxNote) return malformed("is too long");
  const auto end = note.rfind("\n\n");
  if (end == std::string_view::npos) return malformed("has no signature");
  const auto text = note.substr(0, end + 1);
  auto rest = text;
  std::string_view origin, records, hash, line;
  if (!next_line(rest, origin) || !next_line(rest, records) || !next_line(rest, hash))
    return malformed("has less than three lines");
  Checkpoint c;
  c.origin = std::string(origin);
  const auto [stop, ec] = std::from_chars(records.data(), records.data() + records.size(), c.records);
  if (!good_origin(origin) || ec != std::errc() || stop != records.data() + records.size() || c.records < 0)
    return malformed("does not begin with a name and a number of records");
  const auto head = base64_decode(hash);
  if (!head || head->size() != kHashBytes) return malformed("has no hash in its third line");
  c.hash = hex_encode(*head);
  while (next_line(rest, line)) {
    if (!line.starts_with(kTime)) continue;
    const auto time = parse_time(line.substr(kTime.size()));
    if (!time) return malformed("has no time where it says so");
    c.time = *time;
  }
  const auto wanted = key_id(origin, key.get());
  bool is_signed = false;
  for (auto signatures = note.substr(end + 2); next_line(signatures, line);) {
    if (!line.starts_with(kDash)) return malformed("has something else than signatures at its end");
    line.remove_prefix(kDash.size());
    const auto space = line.find(' ');
    if (space == std::string_view::npos || line.substr(0, space) != origin) continue;
    const auto bytes = base64_decode(line.substr(space + 1));
    if (!bytes || bytes->size() != kIdBytes + kSignatureBytes || !bytes->starts_with(wanted)) continue;
    is_signed = is_signed || verify(key.get(), text, std::string_view(*bytes).substr(kIdBytes));
  }
  if (is_signed) return c;
  return fail(Errc::failed_precondition, "checkpoint.not_signed",
              "the checkpoint was altered, or signed by another key");
}

}  // namespace oddjob
