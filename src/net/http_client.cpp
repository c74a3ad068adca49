#include "net/http_client.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio.hpp>
#include <map>
#include <mutex>

#include "core/text.hpp"

namespace oddjob::net {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kStreamBound = 256U << 10U;   // bytes held of a stream that nobody reads
constexpr std::size_t kMaxHeaderBytes = 256U << 10U;

void curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

curl_blob blob(const std::string& s) {
  curl_blob b{};
  b.data = const_cast<char*>(s.data());
  b.len = s.size();
  b.flags = CURL_BLOB_NOCOPY;   // the client outlives its transfers
  return b;
}

// Method and URL without query: queries may hold what is not for logs.
std::string describe(const HttpRequest& r) {
  std::string_view url = r.url;
  return fmt::format("{} {}", r.method, printable(url.substr(0, url.find('?')), 300));
}

}  // namespace

struct HttpStream::Impl {
  HttpClient::Impl* client = nullptr;   // null once detached
  CURL* easy = nullptr;
  curl_slist* header_list = nullptr;
  curl_slist* connect_to = nullptr;
  HttpRequest request;
  std::string what;                     // for messages
  char error_text[CURL_ERROR_SIZE] = {};

  int status = 0;
  Headers headers;
  std::size_t header_bytes = 0;
  bool header_done = false, finished = false, paused = false, cancelled = false, too_large = false;
  bool whole = false;                   // fetch(): the body is bounded by max_body, not by kStreamBound
  CURLcode result = CURLE_OK;
  long http_version = 0;
  std::string body;
  Notifier changed;

  ~Impl();
  void detach();
  [[nodiscard]] Error error() const;
};

struct HttpClient::Impl {
  asio::any_io_executor executor;
  HttpClientOptions options;
  CURLM* multi = nullptr;
  asio::steady_timer timer;
  std::map<CURL*, HttpStream::Impl*> active;

  struct Watch {
    asio::posix::stream_descriptor descriptor;
    int wanted = 0;                     // CURL_POLL_*
    bool reading = false, writing = false;
    explicit Watch(const asio::any_io_executor& e, int fd) : descriptor(e, fd) {}
  };
  std::map<curl_socket_t, std::shared_ptr<Watch>> watches;
  // Handlers that are still queued when the client goes away must find out.
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);

  Impl(Loop& loop, HttpClientOptions o)
      : executor(loop.executor()), options(std::move(o)), timer(executor) {
    curl_once();
    multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(options.max_connections));
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 16L);
  }

  ~Impl() {
    *alive = false;
    while (!active.empty()) {
      auto* transfer = active.begin()->second;
      transfer->finished = true;
      transfer->cancelled = true;
      transfer->detach();
      transfer->changed.notify_all();
    }
    curl_multi_cleanup(multi);
    for (auto& [fd, watch] : watches) watch->descriptor.release();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // ---- libcurl's callbacks; none of them calls back into libcurl -------------

  static int on_socket(CURL* /*easy*/, curl_socket_t fd, int what, void* self, void* /*socket*/) {
    auto& impl = *static_cast<Impl*>(self);
    auto found = impl.watches.find(fd);
    if (what == CURL_POLL_REMOVE) {
      if (found != impl.watches.end()) {
        // libcurl closes the descriptor itself.
        found->second->wanted = 0;
        found->second->descriptor.release();
        impl.watches.erase(found);
      }
      return 0;
    }
    if (found == impl.watches.end())
      found = impl.watches.emplace(fd, std::make_shared<Watch>(impl.executor, fd)).first;
    found->second->wanted = what;
    impl.arm(fd, found->second);
    return 0;
  }

  static int on_close(void* self, curl_socket_t fd) {
    auto& impl = *static_cast<Impl*>(self);
    if (*impl.alive || !impl.watches.empty()) {
      const auto found = impl.watches.find(fd);
      if (found != impl.watches.end()) {
        found->second->wanted = 0;
        found->second->descriptor.release();
        impl.watches.erase(found);
      }
    }
    return ::close(fd);
  }

  static int on_timer(CURLM* /*multi*/, long milliseconds, void* self) {
    auto& impl = *static_cast<Impl*>(self);
    if (milliseconds < 0) {
      impl.timer.cancel();
      return 0;
    }
    impl.timer.expires_after(std::chrono::milliseconds(milliseconds));
    impl.timer.async_wait([&impl, alive = impl.alive](const boost::system::error_code& error) {
      if (error || !*alive) return;
      impl.act(CURL_SOCKET_TIMEOUT, 0);
    });
    return 0;
  }

  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) {
    auto& t = *static_cast<HttpStream::Impl*>(self);
    const std::size_t bytes = size * count;
    std::string_view line(data, bytes);
    t.header_bytes += bytes;
    if (t.header_bytes > kMaxHeaderBytes) {
      t.too_large = true;
      return 0;
    }
    line = trim(line);
    if (line.starts_with("HTTP/")) {
      t.headers = {};
      t.status = 0;
    } else if (line.empty()) {
      long code = 0;
      curl_easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &code);
      if (code >= 200) {
        t.status = static_cast<int>(code);
        curl_easy_getinfo(t.easy, CURLINFO_HTTP_VERSION, &t.http_version);
        if (t.whole) {
          curl_off_t length = -1;
          curl_easy_getinfo(t.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
          if (length > 0 && static_cast<std::uint64_t>(length) > t.request.max_body) {
            t.too_large = true;
            return 0;
          }
        }
        t.header_done = true;
        t.changed.notify_all();
      }
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
      t.headers.add(std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
    }
    return bytes;
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
    auto& t = *static_cast<HttpStream::Impl*>(self);
    const std::size_t bytes = size * count;
    if (t.whole) {
      if (t.body.size() + bytes > t.request.max_body) {
        t.too_large = true;
        return 0;
      }
    } else if (t.body.size() >= kStreamBound) {
      t.paused = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    t.body.append(data, bytes);
    if (!t.whole) t.changed.notify_all();
    return bytes;
  }

  // ---- driving libcurl ---------------------------------------------------------

  void arm(curl_socket_t fd, const std::shared_ptr<Watch>& watch) {
    if ((watch->wanted & CURL_POLL_IN) != 0 && !watch->reading) {
      watch->reading = true;
      watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                   [this, fd, watch, ok = alive](const boost::system::error_code& e) {
                                     watch->reading = false;
                                     ready(fd, watch, ok, e, CURL_CSELECT_IN);
                                   });
    }
    if ((watch->wanted & CURL_POLL_OUT) != 0 && !watch->writing) {
      watch->writing = true;
      watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                   [this, fd, watch, ok = alive](const boost::system::error_code& e) {
                                     watch->writing = false;
                                     ready(fd, watch, ok, e, CURL_CSELECT_OUT);
                                   });
    }
  }

  void ready(curl_socket_t fd, const std::shared_ptr<Watch>& watch, const std::shared_ptr<bool>& ok,
             const boost::system::error_code& error, int event) {
    // A descriptor number may be somebody else's by now: the watch tells.
    if (!*ok || watch->wanted == 0 || error == asio::error::operation_aborted) return;
    act(fd, error ? CURL_CSELECT_ERR : event);
    if (!*ok) return;
    const auto found = watches.find(fd);
    if (found != watches.end() && found->second == watch) arm(fd, watch);
  }

  void act(curl_socket_t fd, int event) {
    int running = 0;
    curl_multi_socket_action(multi, fd, event, &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const auto found = active.find(message->easy_handle);
      if (found == active.end()) continue;
      auto* transfer = found->second;
      transfer->result = message->data.result;
      transfer->finished = true;
      transfer->detach();
      transfer->changed.notify_all();
    }
  }

  Result<std::shared_ptr<HttpStream::Impl>> begin(HttpRequest request, bool whole) {
    auto t = std::make_shared<HttpStream::Impl>();
    t->what = describe(request);
    t->whole = whole;
    OJ_TRY(const auto url, parse_url(request.url));
    t->request = std::move(request);
    const HttpRequest& r = t->request;
    CURL* easy = curl_easy_init();
    t->easy = easy;
    const auto text = [easy](CURLoption option, const std::string& value) { curl_easy_setopt(easy, option, value.c_str()); };
    const auto number = [easy](CURLoption option, long value) { curl_easy_setopt(easy, option, value); };

    std::string address = r.url;
    if (!options.tls.server_name.empty() && url.scheme == "https") {
      // The name in the URL is what libcurl sends as SNI and checks.
      const std::string host = url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
      address = fmt::format("https://{}:{}{}{}{}", options.tls.server_name, url.port, url.path, url.query.empty() ? "" : "?", url.query);
      t->connect_to = curl_slist_append(nullptr, fmt::format("{}:{}:{}:{}", options.tls.server_name, url.port, host, url.port).c_str());
      curl_easy_setopt(easy, CURLOPT_CONNECT_TO, t->connect_to);
      t->header_list = curl_slist_append(t->header_list, fmt::format("Host: {}:{}", host, url.port).c_str());
    }
    text(CURLOPT_URL, address);
    text(CURLOPT_PROTOCOLS_STR, "http,https");
    number(CURLOPT_NOSIGNAL, 1);
    number(CURLOPT_FOLLOWLOCATION, 0);
    number(CURLOPT_TCP_KEEPALIVE, 1);
    number(CURLOPT_TCP_NODELAY, 1);
    number(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1);
    number(CURLOPT_HTTP_VERSION, options.http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
    number(CURLOPT_PIPEWAIT, options.http2 && url.scheme == "https" ? 1 : 0);
    number(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    if (whole && r.timeout > Duration::zero()) number(CURLOPT_TIMEOUT_MS, static_cast<long>(r.timeout.count()));
    text(CURLOPT_USERAGENT, options.user_agent);
    if (options.proxy != "env") text(CURLOPT_PROXY, options.proxy);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error_text);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Impl::on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t.get());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Impl::on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t.get());
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &Impl::on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);

    const auto& tls = options.tls;
    if (tls.insecure_skip_verify) {
      number(CURLOPT_SSL_VERIFYPEER, 0);
      number(CURLOPT_SSL_VERIFYHOST, 0);
    }
    number(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (!tls.ca_pem.empty()) {
      auto ca = blob(tls.ca_pem);
      curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &ca);
      curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
    }
    if (!tls.client_cert_pem.empty()) {
      auto certificate = blob(tls.client_cert_pem), key = blob(tls.client_key_pem);
      text(CURLOPT_SSLCERTTYPE, "PEM");
      text(CURLOPT_SSLKEYTYPE, "PEM");
      curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &certificate);
      curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key);
    }

    for (const auto& [name, value] : r.headers) {
      if ((name + value).find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
        return fail(Errc::invalid_argument, "http.bad_header", fmt::format("{}: the header '{}' has a line break", t->what, printable(name, 60)));
      // An empty value needs a semicolon, or libcurl removes the header.
      t->header_list = curl_slist_append(t->header_list, value.empty() ? (name + ";").c_str() : fmt::format("{}: {}", name, value).c_str());
    }
    t->header_list = curl_slist_append(t->header_list, "Expect:");
    const bool has_body = !r.body.empty() || r.method == "POST" || r.method == "PUT" || r.method == "PATCH";
    if (has_body && !r.headers.has("Content-Type")) t->header_list = curl_slist_append(t->header_list, "Content-Type:");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->header_list);
    if (has_body) {
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(r.body.size()));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r.body.data());
    }
    if (r.method == "HEAD") number(CURLOPT_NOBODY, 1);
    else text(CURLOPT_CUSTOMREQUEST, r.method);

    t->client = this;
    active.emplace(easy, t.get());
    if (const auto added = curl_multi_add_handle(multi, easy); added != CURLM_OK) {
      t->detach();
      return fail(Errc::internal, "http.internal", fmt::format("{}: {}", t->what, curl_multi_strerror(added)));
    }
    return t;
  }
};

// The easy handle goes when the last owner does; out of the multi handle it goes at once.
void HttpStream::Impl::detach() {
  if (client == nullptr) return;
  client->active.erase(easy);
  curl_multi_remove_handle(client->multi, easy);
  client = nullptr;
}

HttpStream::Impl::~Impl() {
  detach();
  if (easy != nullptr) curl_easy_cleanup(easy);
  curl_slist_free_all(header_list);
  curl_slist_free_all(connect_to);
}

Error HttpStream::Impl::error() const {
  const auto make = [&](Errc kind, std::string code, std::string_view text) {
    return Error{kind, std::move(code), fmt::format("{}: {}", what, text), {}, 0};
  };
  const std::string text = printable(error_text[0] != '\0' ? error_text : curl_easy_strerror(result), 300);
  if (too_large) return make(Errc::too_large, "http.too_large", fmt::format("the answer is larger than {} bytes", request.max_body));
  if (cancelled) return make(Errc::cancelled, "http.cancelled", "cancelled");
  switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST: return make(Errc::unavailable, "http.resolve", text);
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY: return make(Errc::unavailable, "http.proxy", text);
    case CURLE_COULDNT_CONNECT: return make(Errc::unavailable, "http.connect", text);
    case CURLE_OPERATION_TIMEDOUT: return make(Errc::deadline_exceeded, "http.timeout", text);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR: return make(Errc::unavailable, "http.tls", text);
    default: return make(Errc::unavailable, "http.broken", text);
  }
}

HttpStream& HttpStream::operator=(HttpStream&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}
HttpStream::~HttpStream() {
  if (!impl_) return;
  // A read() that still waits holds the transfer; it must not go on alone.
  impl_->cancelled = true;
  impl_->detach();
  impl_->changed.notify_all();
}
int HttpStream::status() const noexcept { return impl_->status; }
const Headers& HttpStream::headers() const noexcept { return impl_->headers; }

void HttpStream::cancel() {
  impl_->cancelled = true;
  impl_->detach();
  impl_->changed.notify_all();
}

Task<Result<std::string>> HttpStream::read() {
  const auto t = impl_;
  const auto deadline = std::chrono::steady_clock::now() + t->request.idle_timeout;
  for (;;) {
    if (t->cancelled) co_return fail(t->error());
    if (!t->body.empty()) {
      std::string out = std::move(t->body);
      t->body.clear();
      if (t->paused && t->client != nullptr) {
        t->paused = false;
        curl_easy_pause(t->easy, CURLPAUSE_CONT);
      }
      co_return out;
    }
    if (t->finished) {
      if (t->result == CURLE_OK) co_return std::string{};
      co_return fail(t->error());
    }
    const auto seen = t->changed.ticket();
    Duration wait = std::chrono::hours(24);
    if (t->request.idle_timeout > Duration::zero()) {
      wait = std::chrono::ceil<Duration>(deadline - std::chrono::steady_clock::now());
      if (wait <= Duration::zero()) {
        t->detach();
        t->finished = true;
        t->result = CURLE_OPERATION_TIMEDOUT;
        co_return fail(Errc::deadline_exceeded, "http.idle_timeout",
                       fmt::format("{}: nothing came for {}", t->what, format_duration(t->request.idle_timeout)));
      }
    }
    co_await t->changed.wait_beyond(seen, wait);
  }
}

HttpClient::HttpClient(Loop& loop, HttpClientOptions options) : impl_(std::make_unique<Impl>(loop, std::move(options))) {}
HttpClient::~HttpClient() = default;

Task<Result<HttpResponse>> HttpClient::fetch(HttpRequest request) {
  auto begun = impl_->begin(std::move(request), true);
  if (!begun) co_return fail(begun.error());
  const auto t = std::move(*begun);
  while (!t->finished) {
    const auto seen = t->changed.ticket();
    if (t->finished) break;
    co_await t->changed.wait_beyond(seen, std::chrono::hours(24));
  }
  if (t->cancelled || t->too_large || t->result != CURLE_OK) co_return fail(t->error());
  HttpResponse out;
  out.status = t->status;
  out.headers = std::move(t->headers);
  out.body = std::move(t->body);
  out.http_version = t->http_version == CURL_HTTP_VERSION_2_0 ? 20 : 11;
  co_return out;
}

Task<Result<HttpStream>> HttpClient::open(HttpRequest request) {
  auto begun = impl_->begin(std::move(request), false);
  if (!begun) co_return fail(begun.error());
  const auto t = std::move(*begun);
  const Duration timeout = t->request.timeout > Duration::zero() ? t->request.timeout : std::chrono::hours(24);
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!t->header_done && !t->finished) {
    const auto left = std::chrono::ceil<Duration>(deadline - std::chrono::steady_clock::now());
    if (left <= Duration::zero()) {
      t->detach();
      co_return fail(Errc::deadline_exceeded, "http.timeout",
                     fmt::format("{}: no answer within {}", t->what, format_duration(timeout)));
    }
    const auto seen = t->changed.ticket();
    co_await t->changed.wait_beyond(seen, left);
  }
  if (!t->header_done) co_return fail(t->error());
  HttpStream stream(t);
  co_return std::move(stream);
}

}  // namespace oddjob::net
