#include "net/http_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "core/text.hpp"
#include "net/curl_engine.hpp"

namespace oddjob::net {
namespace {

using Clock = std::chrono::steady_clock;

void curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

// libcurl copies neither; the client's options outlive every transfer.
void set_blob(CURL* easy, CURLoption option, const std::string& bytes) {
  curl_blob blob{};
  blob.data = const_cast<char*>(bytes.data());
  blob.len = bytes.size();
  blob.flags = CURL_BLOB_NOCOPY;
  curl_easy_setopt(easy, option, &blob);
}

void set(CURL* easy, CURLoption option, const std::string& value) {
  curl_easy_setopt(easy, option, value.c_str());
}
void set(CURL* easy, CURLoption option, long value) { curl_easy_setopt(easy, option, value); }

bool is_token(std::string_view s) {
  const auto good = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !s.empty() && std::all_of(s.begin(), s.end(), good);
}

bool is_field_value(std::string_view s) {
  return std::ranges::none_of(s, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

// What must not reach the wire: a line break would let a value write headers of its own.
Result<> check(const HttpRequest& r) {
  if (!is_token(r.method))
    return fail(Errc::invalid_argument, "http.bad_method", "the HTTP method is malformed");
  for (const auto& [name, value] : r.headers) {
    if (!is_token(name) || !is_field_value(value))
      return fail(Errc::invalid_argument, "http.bad_header",
                  fmt::format("{}: the header '{}' has a character that no header may have", describe(r),
                              printable(name, 60)));
  }
  return {};
}

void append(curl_slist*& list, const std::string& line) { list = curl_slist_append(list, line.c_str()); }

// The transfer's own deadline, or that of silence, whichever is nearer.
Clock::time_point next_deadline(const HttpStream::Impl& t, Clock::time_point deadline) {
  if (t.request.idle_timeout > Duration::zero() && !t.paused)
    deadline = std::min(deadline, t.last_byte + t.request.idle_timeout);
  return deadline;
}

Clock::time_point deadline_in(Duration d) {
  return d > Duration::zero() ? Clock::now() + std::min<Duration>(d, std::chrono::hours(24 * 365))
                              : Clock::time_point::max();
}

// Waits until `ready(t)`; ends the transfer and fails when it ends before, when
// time is up, or when the waiting coroutine is cancelled.
Task<Result<>> wait_until(std::shared_ptr<HttpStream::Impl> t, bool (*ready)(const HttpStream::Impl&),
                          Clock::time_point deadline) {
  while (!ready(*t)) {
    if (t->ended) {
      if (t->failure) co_return fail(*t->failure);
      co_return fail(t->make_error(Errc::unavailable, "http.broken", "the answer ended early"));
    }
    const auto next = next_deadline(*t, deadline);
    const auto now = Clock::now();
    if (now >= deadline) {
      t->stop(t->make_error(Errc::deadline_exceeded, "http.timeout",
                            fmt::format("no whole answer within {}", format_duration(t->request.timeout))));
    } else if (now >= next) {
      t->stop(t->make_error(Errc::deadline_exceeded, "http.idle_timeout",
                            fmt::format("nothing came for {}", format_duration(t->request.idle_timeout))));
    } else {
      const auto left = std::min<Clock::duration>(next - now, std::chrono::hours(24));
      const auto seen = t->changed.ticket();
      const bool woken = co_await t->changed.wait_beyond(seen, std::chrono::ceil<Duration>(left));
      if (!woken && Clock::now() < now + left)
        t->stop(t->make_error(Errc::cancelled, "http.cancelled", "cancelled"));
    }
  }
  co_return Result<>{};
}

}  // namespace

struct HttpClient::Impl {
  HttpClientOptions options;
  std::shared_ptr<CurlEngine> requests;
  // Streams have connections of their own, one each, and so HTTP/1.1: libcurl
  // 7.88 keeps the news that an HTTP/2 stream was given up to itself until it has
  // something else to send there, and the server would stream on for nobody.
  // Closing a connection says it at once, and TCP holds back a sender that is
  // not read without a word to the other streams. Made for the first stream.
  std::shared_ptr<CurlEngine> streams;
  CURLSH* shared;  // TLS sessions, so that the second connection is a short handshake

  boost::asio::any_io_executor executor;

  Impl(Loop& loop, HttpClientOptions o) : options(std::move(o)), executor(loop.executor()) {
    curl_once();
    requests = std::make_shared<CurlEngine>(executor, options.max_connections);
    shared = curl_share_init();
    curl_share_setopt(shared, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
  }
  ~Impl() {
    requests->close();
    if (streams) streams->close();
    curl_share_cleanup(shared);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Result<std::shared_ptr<HttpStream::Impl>> begin(HttpRequest request, bool whole) {
    OJ_CHECK(check(request));
    OJ_TRY(const Url url, parse_url(request.url));
    if (url.scheme.empty())
      return fail(Errc::invalid_argument, "url.malformed", "malformed URL: it names no host");
    auto t = std::make_shared<HttpStream::Impl>();
    t->whole = whole;
    t->proxied = !options.proxy.empty() && options.proxy != "env";
    t->request = std::move(request);
    if (!whole && !streams) streams = std::make_shared<CurlEngine>(executor, options.max_connections);
    CurlEngine& engine = whole ? *requests : *streams;
    t->easy = engine.take_handle();
    if (t->easy == nullptr) return fail(t->make_error(Errc::internal, "http.internal", "out of memory"));
    set_up_connection(*t, url);
    set_up_message(*t, url);
    if (!engine.attach(*t))
      return fail(t->make_error(Errc::cancelled, "http.cancelled", "the client was closed"));
    return t;
  }

  void set_up_connection(HttpStream::Impl& t, const Url& url) const {
    CURL* easy = t.easy;
    const bool multiplexed = options.http2 && t.whole && url.scheme == "https";
    set(easy, CURLOPT_PROTOCOLS_STR, std::string("http,https"));
    set(easy, CURLOPT_NOSIGNAL, 1L);
    set(easy, CURLOPT_QUICK_EXIT, 1L);  // or giving up waits for the resolver's thread, and the loop with it
    set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    set(easy, CURLOPT_TCP_NODELAY, 1L);
    set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    set(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    set(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    set(easy, CURLOPT_HTTP_VERSION, multiplexed ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
    set(easy, CURLOPT_PIPEWAIT, multiplexed ? 1L : 0L);
    set(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (options.proxy != "env") set(easy, CURLOPT_PROXY, options.proxy);
    curl_easy_setopt(easy, CURLOPT_SHARE, shared);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t.error_text);

    const auto& tls = options.tls;
    set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (tls.insecure_skip_verify) {
      set(easy, CURLOPT_SSL_VERIFYPEER, 0L);
      set(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (!tls.ca_pem.empty()) {
      set_blob(easy, CURLOPT_CAINFO_BLOB, tls.ca_pem);
      curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);  // or the system's are trusted as well
    }
    if (!tls.client_cert_pem.empty()) {
      set(easy, CURLOPT_SSLCERTTYPE, std::string("PEM"));
      set(easy, CURLOPT_SSLKEYTYPE, std::string("PEM"));
      set_blob(easy, CURLOPT_SSLCERT_BLOB, tls.client_cert_pem);
      set_blob(easy, CURLOPT_SSLKEY_BLOB, tls.client_key_pem);
    }
  }

  void set_up_message(HttpStream::Impl& t, const Url& url) const {
    CURL* easy = t.easy;
    const HttpRequest& r = t.request;
    const bool renamed = !options.tls.server_name.empty() && url.scheme == "https";
    if (renamed) {
      // The name in the URL is what libcurl sends as SNI and checks; where it
      // connects to, and the Host header, stay the real ones.
      const auto host = url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
      set(easy, CURLOPT_URL,
          fmt::format("https://{}:{}{}{}{}", options.tls.server_name, url.port, url.path,
                      url.query.empty() ? "" : "?", url.query));
      append(t.connect_to, fmt::format("{}:{}:{}:{}", options.tls.server_name, url.port, host, url.port));
      curl_easy_setopt(easy, CURLOPT_CONNECT_TO, t.connect_to);
      if (!r.headers.has("Host")) append(t.header_list, fmt::format("Host: {}:{}", host, url.port));
    } else {
      set(easy, CURLOPT_URL, r.url);
    }
    set(easy, CURLOPT_PATH_AS_IS, 1L);
    set(easy, CURLOPT_USERAGENT, options.user_agent);
    for (const auto& [name, value] : r.headers) {
      // libcurl takes "Name:" as a wish to leave a header out, "Name;" as an empty value.
      append(t.header_list, value.empty() ? name + ";" : name + ": " + value);
    }
    append(t.header_list, "Expect:");
    const bool has_body = !r.body.empty() || r.method == "POST" || r.method == "PUT" || r.method == "PATCH";
    if (has_body) {
      if (!r.headers.has("Content-Type")) append(t.header_list, "Content-Type:");
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(r.body.size()));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r.body.data());
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t.header_list);
    if (r.method == "HEAD") {
      set(easy, CURLOPT_NOBODY, 1L);
    } else {
      set(easy, CURLOPT_CUSTOMREQUEST, r.method);
    }
  }
};

HttpClient::HttpClient(Loop& loop, HttpClientOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(options))) {}
HttpClient::~HttpClient() = default;

Task<Result<HttpResponse>> HttpClient::fetch(HttpRequest request) {
  const auto deadline = deadline_in(request.timeout);
  OJ_CO_TRY(const auto t, impl_->begin(std::move(request), true));
  const auto ended_well = [](const HttpStream::Impl& i) { return i.ended && !i.failure; };
  OJ_CO_CHECK(co_await wait_until(t, ended_well, deadline));
  HttpResponse out;
  out.status = t->status;
  out.headers = std::move(t->headers);
  out.body = std::move(t->body);
  out.http_version = t->http_version;
  co_return out;
}

Task<Result<HttpStream>> HttpClient::open(HttpRequest request) {
  const auto deadline = deadline_in(request.timeout);
  OJ_CO_TRY(auto t, impl_->begin(std::move(request), false));
  const auto has_header = [](const HttpStream::Impl& i) { return i.header_done; };
  OJ_CO_CHECK(co_await wait_until(t, has_header, deadline));
  HttpStream stream(std::move(t));
  co_return std::move(stream);
}

// ---- streams -----------------------------------------------------------------

HttpStream& HttpStream::operator=(HttpStream&& other) noexcept {
  if (this == &other) return *this;
  if (impl_) cancel();
  impl_ = std::move(other.impl_);
  return *this;
}

HttpStream::~HttpStream() {
  // A read() that still waits holds the transfer; it must not go on alone.
  if (impl_) cancel();
}

int HttpStream::status() const noexcept { return impl_->status; }
const Headers& HttpStream::headers() const noexcept { return impl_->headers; }

void HttpStream::cancel() {
  impl_->body.clear();
  if (impl_->failure && impl_->failure->code != "http.cancelled") impl_->failure.reset();
  impl_->stop(impl_->make_error(Errc::cancelled, "http.cancelled", "cancelled"));
}

Task<Result<std::string>> HttpStream::read() {
  const auto t = impl_;  // this object may go while we wait
  const auto something = [](const Impl& i) { return !i.body.empty() || (i.ended && !i.failure); };
  OJ_CO_CHECK(co_await wait_until(t, something, Clock::time_point::max()));
  std::string out = std::exchange(t->body, {});
  if (t->paused && t->engine != nullptr) t->engine->resume(*t);
  co_return out;
}

}  // namespace oddjob::net
