// Hashes and encodings (OpenSSL; nothing here is our own cryptography).
#pragma once

#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob {

// Lower-case hex of SHA-256 over the bytes (64 characters).
std::string sha256_hex(std::string_view bytes);
// HMAC-SHA256 (RFC 2104): 32 bytes.
std::string hmac_sha256(std::string_view key, std::string_view bytes);
// "sha256:<hex>" over canonical_json(v).
std::string json_digest(const json::value& v);

std::string base64_encode(std::string_view bytes);         // RFC 4648 section 4, padded
std::string base64url_encode(std::string_view bytes);      // section 5, unpadded
Result<std::string> base64_decode(std::string_view text);  // accepts either, white space ignored
std::string hex_encode(std::string_view bytes);

// Compares without leaking the position of the first difference.
bool equal_constant_time(std::string_view a, std::string_view b) noexcept;
// `n` bytes from the operating system's generator. Aborts if there is none.
std::string random_bytes(std::size_t n);

}  // namespace oddjob
