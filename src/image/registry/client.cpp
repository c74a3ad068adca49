#include "image/registry/client.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>

#include "core/text.hpp"
#include "image/registry/client_impl.hpp"
#include "image/registry/hasher.hpp"

namespace oddjob::image {
namespace {

using Steady = std::chrono::steady_clock;
using ImplPtr = std::shared_ptr<Registry::Impl>;

constexpr auto kGrace = std::chrono::minutes(2);  // before a blob's pace is looked at

net::HttpClientOptions http_options(const RegistryOptions& o, bool checked) {
  net::HttpClientOptions out;
  out.tls.ca_pem = o.ca_pem;
  out.tls.insecure_skip_verify = !checked;
  out.proxy = o.proxy;
  out.user_agent = o.user_agent;
  out.max_connections = 64;
  return out;
}

std::string_view host_of(std::string_view url) {
  const auto begin = url.find("://") + 3;
  return url.substr(begin, url.find_first_of("/?#", begin) - begin);
}

// "bytes 5-9/10": the first offset, or nothing.
std::optional<std::int64_t> first_of_range(std::string_view header) {
  if (!header.starts_with("bytes ")) return std::nullopt;
  header.remove_prefix(6);
  std::int64_t out = 0;
  const auto [end, ec] = std::from_chars(header.data(), header.data() + header.size(), out);
  if (ec != std::errc{} || end == header.data() + header.size() || *end != '-') return std::nullopt;
  return out;
}

struct Repository {
  ImplPtr registry;
  Reference image;
  Identity who;
};

// A blob that is asked for again, from where it was cut.
class RemoteBlob : public Blob {
 public:
  RemoteBlob(std::shared_ptr<Repository> repository, Descriptor d)
      : repository_(std::move(repository)), blob_(std::move(d)) {}

  net::Task<Result<>> begin() {
    const auto from = offset_;
    Ask what;
    what.path = "blobs/" + blob_.digest;
    what.stream = true;
    if (from > 0) what.range = fmt::format("bytes={}-", from);
    auto asking = ask(repository_->registry, repository_->image, repository_->who, std::move(what));
    auto got = co_await std::move(asking);
    if (!got) co_return std::unexpected(std::move(got).error());
    if (!got->stream) {
      co_return fail(error_of(*got, repository_->image, "blob " + blob_.digest,
                              !repository_->who.candidates[repository_->who.at].empty()));
    }
    // A server that knows no ranges begins anew.
    to_skip_ = from;
    if (got->status == 206) {
      if (first_of_range(got->headers.get("Content-Range")) != from) {
        co_return fail(Errc::unavailable, "image.registry",
                       fmt::format("{} was asked for the blob {} from byte {} and gave something else",
                                   repository_->image.registry, blob_.digest, from));
      }
      to_skip_ = 0;
    }
    stream_ = std::move(got->stream);
    co_return Result<>{};
  }

  net::Task<Result<std::string>> read() override {
    const auto& options = repository_->registry->options;
    for (;;) {
      const auto began = Steady::now();
      auto reading = stream_->read();
      auto piece = co_await std::move(reading);
      waited_ += std::chrono::duration_cast<Duration>(Steady::now() - began);
      if (piece) {
        if (piece->empty() && offset_ >= blob_.size) co_return piece;
        if (!piece->empty()) {
          repository_->registry->stats.bytes += piece->size();
          if (to_skip_ > 0) {
            const auto n = std::min<std::int64_t>(to_skip_, static_cast<std::int64_t>(piece->size()));
            piece->erase(0, static_cast<std::size_t>(n));
            to_skip_ -= n;
          }
          offset_ += static_cast<std::int64_t>(piece->size());
          OJ_CO_CHECK(fast_enough());
          if (piece->empty()) continue;
          failures_ = 0;
          co_return piece;
        }
      } else if (piece.error().code == "http.cancelled") {
        co_return piece;
      }
      // Cut, or ended before its time.
      if (++failures_ >= options.max_attempts) {
        if (!piece) co_return std::unexpected(std::move(piece).error().with_context("blob " + blob_.digest));
        co_return piece;  // short: the check of its size says so
      }
      spdlog::debug("blob {} was cut at byte {}; going on from there", blob_.digest, offset_);
      co_await net::sleep_for(backoff(options, failures_));
      ++repository_->registry->stats.resumed;
      auto again = begin();
      OJ_CO_CHECK(co_await std::move(again));
    }
  }

 private:
  // Time that we let it wait does not count.
  [[nodiscard]] Result<> fast_enough() const {
    const auto slowest = repository_->registry->options.slowest;
    if (waited_ <= kGrace || slowest == 0) return {};
    const auto allowed = kGrace + std::chrono::seconds(offset_ / static_cast<std::int64_t>(slowest));
    if (waited_ <= allowed) return {};
    return fail(Errc::deadline_exceeded, "image.too_slow",
                fmt::format("the blob {} of {} comes too slowly: {} bytes in {}", blob_.digest,
                            repository_->image.registry, offset_, human_duration(waited_)));
  }

  std::shared_ptr<Repository> repository_;
  Descriptor blob_;
  std::optional<net::HttpStream> stream_;
  std::int64_t offset_ = 0, to_skip_ = 0;
  int failures_ = 0;
  Duration waited_{};
};

class RemoteSource : public Source {
 public:
  explicit RemoteSource(std::shared_ptr<Repository> repository) : repository_(std::move(repository)) {}

  net::Task<Result<Document>> manifest(std::string name) override {
    return get_manifest(repository_, std::move(name));
  }
  net::Task<Result<std::unique_ptr<Blob>>> blob(Descriptor d) override {
    return open(repository_, std::move(d));
  }

 private:
  static net::Task<Result<Document>> get_manifest(std::shared_ptr<Repository> repository, std::string name) {
    const auto& image = repository->image;
    Ask what;
    what.path = "manifests/" + name;
    what.accept = manifest_media_types();
    what.max_body = kMaxManifest;
    auto asking = ask(repository->registry, image, repository->who, std::move(what));
    auto got = co_await std::move(asking);
    if (!got) co_return std::unexpected(std::move(got).error());
    if (got->status != 200) {
      co_return fail(error_of(*got, image, "manifest " + printable(name, 150),
                              !repository->who.candidates[repository->who.at].empty()));
    }
    Document out;
    out.media_type = got->headers.get("Content-Type");
    Hasher hasher(is_digest(name) ? name.substr(0, name.find(':')) : "sha256");
    hasher.update(got->body);
    out.digest = hasher.finish();
    if (is_digest(name) && out.digest != name) {
      co_return fail(
          Errc::failed_precondition, "image.digest_mismatch",
          fmt::format("{} gave a manifest with the digest {} for {}", image.registry, out.digest, name),
          "the registry, or something in between, gives out broken data");
    }
    out.body = std::move(got->body);
    co_return out;
  }

  static net::Task<Result<std::unique_ptr<Blob>>> open(std::shared_ptr<Repository> repository, Descriptor d) {
    auto out = std::make_unique<RemoteBlob>(std::move(repository), std::move(d));
    auto beginning = out->begin();
    OJ_CO_CHECK(co_await std::move(beginning));
    std::unique_ptr<Blob> blob = std::move(out);
    co_return blob;
  }

  std::shared_ptr<Repository> repository_;
};

}  // namespace

Registry::Impl::Impl(net::Loop& l, RegistryOptions o)
    : loop(l),
      options(std::move(o)),
      checked(std::make_unique<net::HttpClient>(l, http_options(options, true))),
      unchecked(std::make_unique<net::HttpClient>(l, http_options(options, false))) {}

bool Registry::Impl::plain(std::string_view host) const {
  return is_loopback(host) || std::ranges::find(options.plain_http, host) != options.plain_http.end();
}

std::string Registry::Impl::base_url(const Reference& image) const {
  const auto host = api_host(image);
  return fmt::format("{}://{}/v2/{}/", plain(host) ? "http" : "https", host, image.repository);
}

net::HttpClient& Registry::Impl::client_for(std::string_view url) {
  const bool skip = std::ranges::find(options.insecure_tls, host_of(url)) != options.insecure_tls.end();
  return skip ? *unchecked : *checked;
}

Result<> Registry::Impl::allowed(std::string_view url, const Reference& image, std::string_view what) const {
  if (!checked) return fail(Errc::unavailable, "image.stopped", "the server is stopping");
  if (url.starts_with("https://")) return {};
  const auto host = host_of(url);
  // A registry on this machine may send us about on this machine; one far away not.
  if (url.starts_with("http://") && plain(host) && (!is_loopback(host) || plain(api_host(image)))) return {};
  return fail(Errc::failed_precondition, "image.plain_http",
              fmt::format("{} of {}, {}, has no TLS", what, image.registry, printable(host, 200)),
              "list it under images.plainHttpRegistries if that is meant");
}

Registry::Registry(net::Loop& loop, RegistryOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {}
Registry::~Registry() = default;

std::unique_ptr<Source> Registry::repository(const Reference& image, std::vector<Credential> credentials) {
  auto repository = std::make_shared<Repository>();
  repository->registry = impl_;
  repository->image = image;
  credentials.emplace_back();  // nobody
  repository->who.candidates = std::move(credentials);
  return std::make_unique<RemoteSource>(std::move(repository));
}

void Registry::close() {
  impl_->checked.reset();
  impl_->unchecked.reset();
}

Registry::Stats Registry::stats() const noexcept { return impl_->stats; }

}  // namespace oddjob::image
