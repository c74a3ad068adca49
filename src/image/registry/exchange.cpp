// One request to a registry: identity, redirects, another try where that is right.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/digest.hpp"
#include "core/json.hpp"
#include "core/text.hpp"
#include "image/registry/client_impl.hpp"

namespace oddjob::image {
namespace {

using Steady = std::chrono::steady_clock;

constexpr int kMaxRedirects = 5;
constexpr std::size_t kMaxProblem = 64U << 10U;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Where a credential may go: scheme, host and port.
std::string origin(const net::Url& u) { return fmt::format("{}://{}:{}", u.scheme, u.host, u.port); }

// The registry's own words (errors[0] of its JSON), made fit for a line.
std::string words_of(std::string_view body) {
  const auto parsed = parse_json(body, "", kMaxProblem);
  if (!parsed) return {};
  const auto* errors = find_array(*parsed, {"errors"});
  if (errors == nullptr || errors->empty()) return {};
  const auto& e = errors->front();
  return printable(fmt::format("{} {}", get_string(e, {"code"}), get_string(e, {"message"})), 300);
}

net::Task<std::string> rest_of(net::HttpStream& stream) {
  std::string out;
  while (out.size() < kMaxProblem) {
    auto more = co_await stream.read();
    if (!more || more->empty()) break;
    out += *more;
  }
  co_return out;
}

int retry_after(const net::Headers& headers) {
  int seconds = 0;
  const auto text = headers.get("Retry-After");
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return std::clamp(seconds, 0, 3600);
}

// One request and the redirects that it leads to.
net::Task<Result<Got>> follow(std::shared_ptr<Registry::Impl> self, Reference image, Ask what,
                              std::string authorization) {
  std::string url = self->base_url(image) + what.path;
  OJ_CO_TRY(const auto start, net::parse_url(url));
  for (int hops = 0; hops <= kMaxRedirects; ++hops) {
    OJ_CO_CHECK(self->allowed(url, image, hops == 0 ? "the registry" : "where the registry redirects to"));
    OJ_CO_TRY(const auto here, net::parse_url(url));
    net::HttpRequest r;
    r.url = url;
    r.timeout = self->options.idle_timeout;
    if (!what.accept.empty()) r.headers.set("Accept", what.accept);
    if (!what.range.empty()) r.headers.set("Range", what.range);
    // Storage behind a registry has its own signature in the URL: what we are
    // to the registry is none of its business.
    if (!authorization.empty() && origin(here) == origin(start))
      r.headers.set("Authorization", authorization);
    ++self->stats.requests;
    Got got;
    if (what.stream) {
      r.idle_timeout = self->options.idle_timeout;
      auto opening = self->client_for(url).open(std::move(r));
      auto opened = co_await std::move(opening);
      if (!opened) co_return std::unexpected(std::move(opened).error());
      got.status = opened->status();
      got.headers = opened->headers();
      if (got.status == 200 || got.status == 206) {
        got.stream = std::move(*opened);
      } else if (!is_redirect(got.status)) {
        got.body = co_await rest_of(*opened);
      }
    } else {
      r.max_body = what.max_body;
      auto fetching = self->client_for(url).fetch(std::move(r));
      auto answer = co_await std::move(fetching);
      if (!answer) co_return std::unexpected(std::move(answer).error());
      got.status = answer->status;
      got.headers = std::move(answer->headers);
      got.body = std::move(answer->body);
    }
    if (!is_redirect(got.status)) co_return got;
    OJ_CO_TRY(url, resolve_location(url, got.headers.get("Location")));
  }
  co_return fail(Errc::unavailable, "image.redirect",
                 fmt::format("{} redirects more than {} times", image.registry, kMaxRedirects));
}

bool worth_another_try(const Error& e) {
  return e.code == "http.connect" || e.code == "http.broken" || e.code == "http.timeout" ||
         e.code == "http.idle_timeout" || e.code == "http.resolve";
}

}  // namespace

Duration backoff(const RegistryOptions& o, int attempt) {
  const auto base = std::min<Duration>(o.max_backoff, o.min_backoff * (1LL << std::min(attempt - 1, 16)));
  // Between half and all of it, so that many don't come back at one moment.
  const auto share = static_cast<unsigned char>(random_bytes(1)[0]);
  return base / 2 + base * share / 510;
}

Result<std::string> resolve_location(std::string_view base, std::string_view location) {
  const auto bad = [] {
    return fail(Errc::unavailable, "image.redirect",
                "the registry redirects to an address that is malformed");
  };
  location = location.substr(0, location.find('#'));
  if (location.empty() || location.size() > 16384) return bad();
  if (location.starts_with("https://") || location.starts_with("http://")) return std::string(location);
  if (const auto colon = location.find(':'); colon < location.find('/')) return bad();  // another scheme
  const auto host = base.find("://") + 3;
  const auto path = std::min(base.find_first_of("/?#", host), base.size());
  if (location.starts_with("//")) return std::string(base.substr(0, host - 2)) + std::string(location);
  if (location.starts_with('/')) return std::string(base.substr(0, path)) + std::string(location);
  const auto end = std::min(base.find('?'), base.size());
  const auto folder = base.substr(0, end).rfind('/');
  if (folder < path) return std::string(base.substr(0, path)) + "/" + std::string(location);
  return std::string(base.substr(0, folder + 1)) + std::string(location);
}

Error error_of(const Got& got, const Reference& image, std::string_view what, bool with_credentials) {
  const auto words = words_of(got.body);
  const auto said = words.empty() ? std::string() : " (" + words + ")";
  const auto place = fmt::format("{} of {}/{}", what, image.registry, image.repository);
  if (got.status == 401 || got.status == 403) {
    return {Errc::unavailable, "image.unauthorized",
            fmt::format("{} refuses {} with {}{}", image.registry, place, got.status, said),
            with_credentials
                ? "do the imagePullSecrets of the workload allow to pull this image?"
                : "no credentials fit this registry: imagePullSecrets of the workload or of its service "
                  "account (which the server must be let read: deploy/rbac/pull-secrets.yaml), or "
                  "images.dockerConfigFile",
            0};
  }
  if (got.status == 404)
    return {Errc::not_found, "image.not_found", fmt::format("the registry has no {}{}", place, said), {}, 0};
  if (got.status == 429) {
    return {Errc::rate_limited, "image.rate_limited",
            fmt::format("{} takes no more requests for now{}", image.registry, said), "try again later",
            retry_after(got.headers)};
  }
  return {Errc::unavailable,
          "image.registry",
          fmt::format("the registry answered {} for {}{}", got.status, place, said),
          {},
          0};
}

net::Task<Result<Got>> ask(std::shared_ptr<Registry::Impl> self, Reference image, Identity& who, Ask what) {
  const auto deadline = Steady::now() + self->options.call_timeout;
  int attempt = 0;
  int refusals = 0;
  for (;;) {
    auto proving = authorization(self, image, who);
    auto proof = co_await std::move(proving);
    if (!proof) {
      // The token server wants none of this credential; there may be another.
      if (proof.error().code == "image.unauthorized" && who.at + 1 < who.candidates.size()) {
        ++who.at;
        continue;
      }
      co_return std::unexpected(std::move(proof).error());
    }
    const bool had = !proof->empty();
    auto going = follow(self, image, what, std::move(*proof));
    auto got = co_await std::move(going);
    if (got && got->status == 401 && refusals < 16) {
      ++refusals;
      if (refused(*self, image, who, got->headers.get("WWW-Authenticate"), had)) continue;
      co_return got;
    }
    // Some registries say 403 to a credential that may not see this repository.
    if (got && got->status == 403 && who.at + 1 < who.candidates.size()) {
      ++who.at;
      continue;
    }
    Duration pause = backoff(self->options, attempt + 1);
    if (got) {
      if (got->status < 500 && got->status != 429) co_return got;
      if (const int seconds = retry_after(got->headers); seconds > 0) pause = std::chrono::seconds(seconds);
    } else if (!worth_another_try(got.error())) {
      co_return got;
    }
    if (++attempt >= self->options.max_attempts || Steady::now() + pause >= deadline) co_return got;
    ++self->stats.retries;
    co_await net::sleep_for(pause);
  }
}

}  // namespace oddjob::image
