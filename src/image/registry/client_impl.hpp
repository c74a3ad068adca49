// What the files of the registry client share. Not for other folders.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>

#include "image/registry/challenge.hpp"
#include "image/registry/client.hpp"

namespace oddjob::image {

struct Registry::Impl : std::enable_shared_from_this<Registry::Impl> {
  Impl(net::Loop& l, RegistryOptions o);

  net::Loop& loop;
  RegistryOptions options;
  std::unique_ptr<net::HttpClient> checked,
      unchecked;  // with and without a look at certificates; null: closed
  Stats stats;

  struct Kept {
    std::string value;
    std::chrono::steady_clock::time_point until;
  };
  std::map<std::string, Kept, std::less<>> tokens;  // bounded, by what they were asked with

  [[nodiscard]] bool plain(std::string_view host) const;
  [[nodiscard]] std::string base_url(const Reference& image) const;
  // After allowed() for the same URL.
  net::HttpClient& client_for(std::string_view url);
  // May something be asked of `url` on behalf of a registry? Error "image.plain_http".
  Result<> allowed(std::string_view url, const Reference& image, std::string_view what) const;
};

// Who we are to one repository, as far as we have got. Lives with its Source.
struct Identity {
  std::vector<Credential> candidates;  // the last is empty: nobody
  std::size_t at = 0;
  std::optional<Challenge> challenge;        // what the registry asks for; none: nothing so far
  std::set<std::string, std::less<>> tried;  // schemes and tokens that were refused
};

// ---- auth.cpp
// The Authorization header for the next request; empty: none. May ask the token server.
net::Task<Result<std::string>> authorization(std::shared_ptr<Registry::Impl> self, const Reference& image,
                                             Identity& who);
// What to do about a 401: true if the request is worth another try.
bool refused(Registry::Impl& self, const Reference& image, Identity& who, std::string_view challenge_header,
             bool had_authorization);

// ---- exchange.cpp
struct Ask {
  std::string path;  // below /v2/<repository>/
  std::string accept;
  std::string range;  // "bytes=5-"
  std::size_t max_body = 0;
  bool stream = false;
};
struct Got {
  int status = 0;
  net::Headers headers;
  std::string body;                       // without `stream`
  std::optional<net::HttpStream> stream;  // with `stream`, where the status is 200 or 206
};
// One answer: authorised, redirects followed, tried again where that is right.
net::Task<Result<Got>> ask(std::shared_ptr<Registry::Impl> self, Reference image, Identity& who, Ask what);
// The Error that an answer stands for.
Error error_of(const Got& got, const Reference& image, std::string_view what, bool with_credentials);
// The URL that Location names, seen from `base`. Error "image.redirect".
Result<std::string> resolve_location(std::string_view base, std::string_view location);
Duration backoff(const RegistryOptions& options, int attempt);

}  // namespace oddjob::image
