// WWW-Authenticate of a registry, and the answer of its token server. Pure.
// https://distribution.github.io/distribution/spec/auth/token/
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/error.hpp"

namespace oddjob::image {

struct Challenge {
  std::string scheme;  // lower case: "bearer", "basic"
  std::string realm, service, scope;
};
// All challenges of one header value, in order (RFC 9110, section 11.6.1);
// what is malformed ends the list. At most 16, of at most 8 KiB.
std::vector<Challenge> parse_challenges(std::string_view header);

struct Token {
  std::string value;
  Duration lifetime = std::chrono::seconds(60);  // what the protocol takes where nothing is said
};
// Error "image.bad_token": names the server, never what it said.
Result<Token> parse_token(std::string_view body, std::string_view realm);

}  // namespace oddjob::image
