// Signed checkpoints of the audit chain: "so many records, the last one with
// this hash". Whoever keeps one elsewhere can tell later that no record up to
// it was changed, also by somebody who rewrote the whole database.
//
// The text is a signed note (https://c2sp.org/signed-note) with an Ed25519
// signature, laid out as a checkpoint (https://c2sp.org/tlog-checkpoint):
//
//   <origin>
//   <records>
//   <hash of the last record, base64>
//   time <RFC 3339>
//
//   — <origin> <base64 of key id (4 bytes) and signature (64 bytes)>
//
// It differs from a transparency log's in one thing: the hash is the head of
// our chain (docs/formats/audit.md), not the root of a Merkle tree.
//
// Pure; the cryptography is OpenSSL's. Objects may be used from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/error.hpp"

namespace oddjob {

struct Checkpoint {
  std::string origin;        // whose chain: no white space, no '+', at most 200 bytes
  std::int64_t records = 0;  // 0: an empty chain, whose hash is kAuditGenesis
  std::string hash;          // hex, as in the record
  Time time{};
};

class CheckpointSigner {
 public:
  // `pem`: an unencrypted Ed25519 private key (PKCS #8), as `openssl genpkey -algorithm ed25519`
  // writes it. `where` names it in errors, which never hold the key: "checkpoint.bad_key",
  // "checkpoint.bad_origin".
  static Result<CheckpointSigner> from_pem(std::string_view pem, std::string origin, std::string_view where);
  // `c.origin` is not looked at: it is the signer's.
  [[nodiscard]] std::string sign(const Checkpoint& c) const;

 private:
  struct Key;
  CheckpointSigner(std::shared_ptr<Key> key, std::string origin)
      : key_(std::move(key)), origin_(std::move(origin)) {}
  std::shared_ptr<Key> key_;
  std::string origin_;
};

// What a note says, if this public key (PEM, `openssl pkey -pubout`) signed it. At most 16 KiB.
// Errors: "checkpoint.malformed", "checkpoint.bad_key", and "checkpoint.not_signed" where no
// signature is by this key or the text was altered.
Result<Checkpoint> open_checkpoint(std::string_view note, std::string_view public_pem);

}  // namespace oddjob
