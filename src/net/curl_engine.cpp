#include "net/curl_engine.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "core/text.hpp"

namespace oddjob::net {
namespace asio = boost::asio;

namespace {

constexpr std::size_t kStreamBound = 256U << 10U;  // held of a stream that nobody reads
constexpr std::size_t kMaxHeaderBytes = 256U << 10U;
constexpr std::size_t kMaxReserve = 8U << 20U;  // a peer's word for a length is not worth more
constexpr int kUnackedMilliseconds = 20000;
constexpr std::size_t kMaxSpare = 16;

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::optional<std::uint64_t> content_length(const Headers& headers) {
  const auto text = headers.get("Content-Length");
  std::uint64_t length = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return length;
}

}  // namespace

// ---- one exchange ------------------------------------------------------------

std::string describe(const HttpRequest& r) {
  return printable(
      fmt::format("{} {}", r.method, std::string_view(r.url).substr(0, r.url.find_first_of("?#"))), 300);
}

HttpStream::Impl::~Impl() {
  if (engine != nullptr) engine->detach(*this);
  if (easy != nullptr) curl_easy_cleanup(easy);
  curl_slist_free_all(header_list);
  curl_slist_free_all(connect_to);
}

void HttpStream::Impl::stop(Error why) {
  if (engine != nullptr) engine->detach(*this);
  if (!failure) failure = std::move(why);
  ended = true;
  changed.notify_all();
}

Error HttpStream::Impl::make_error(Errc kind, std::string code, std::string_view text) const {
  return Error{kind, std::move(code), fmt::format("{}: {}", describe(request), text), {}, 0};
}

Error HttpStream::Impl::error_of(CURLcode result) const {
  const std::string text = printable(error_text[0] != '\0' ? error_text : curl_easy_strerror(result), 300);
  const auto unavailable = [&](std::string code) {
    return make_error(Errc::unavailable, std::move(code), text);
  };
  long connect_status = 0;
  if (easy != nullptr) curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
  if (proxied && connect_status >= 300) return unavailable("http.proxy");
  switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return unavailable("http.resolve");
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
      return unavailable("http.proxy");
    case CURLE_COULDNT_CONNECT:
      return unavailable(proxied ? "http.proxy" : "http.connect");
    // Only connecting has a deadline inside of libcurl; the others are ours.
    case CURLE_OPERATION_TIMEDOUT:
      return unavailable("http.connect");
    case CURLE_SSL_CONNECT_ERROR:
      // Cut during the handshake: the network's fault, not the certificate's.
      return unavailable(has(text, "SSL_ERROR_SYSCALL") || has(text, "reset by peer") ? "http.connect"
                                                                                      : "http.tls");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
      return unavailable("http.tls");
    default:
      // With TLS 1.3 a refused client certificate shows at the first read.
      return unavailable(has(text, "SSL_read") && has(text, "alert") ? "http.tls" : "http.broken");
  }
}

// ---- sockets and the timer -----------------------------------------------------

struct CurlEngine::Watch {
  asio::posix::stream_descriptor descriptor;
  int wanted = 0;  // CURL_POLL_*; 0 once libcurl let go of the descriptor
  bool reading = false, writing = false;
  Watch(const asio::any_io_executor& e, int fd) : descriptor(e, fd) {}
};

CurlEngine::CurlEngine(const asio::any_io_executor& executor, std::size_t max_connections)
    : executor_(executor), multi_(curl_multi_init()), timer_(executor) {
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlEngine::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlEngine::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
  curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(max_connections));
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS,
                    static_cast<long>(std::min<std::size_t>(max_connections, 64)));
}

CurlEngine::~CurlEngine() { close(); }

void CurlEngine::close() {
  if (multi_ == nullptr) return;
  while (!transfers_.empty()) {
    auto& transfer = **transfers_.begin();
    transfer.stop(transfer.make_error(Errc::cancelled, "http.cancelled", "the client was closed"));
  }
  for (CURL* easy : std::exchange(spare_, {})) curl_easy_cleanup(easy);
  curl_multi_cleanup(std::exchange(multi_, nullptr));
  timer_.cancel();
  while (!watches_.empty()) forget(watches_.begin()->first);
}

// libcurl closes its descriptors itself, and their numbers come back: a watch is
// dropped, never closed, as soon as libcurl lets go.
void CurlEngine::forget(curl_socket_t fd) {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  found->second->wanted = 0;
  found->second->descriptor.release();
  watches_.erase(found);
}

int CurlEngine::on_socket(CURL* /*easy*/, curl_socket_t fd, int what, void* self, void* /*socket*/) {
  auto& engine = *static_cast<CurlEngine*>(self);
  if (what == CURL_POLL_REMOVE) {
    engine.forget(fd);
    return 0;
  }
  auto& watch = engine.watches_[fd];
  if (!watch) watch = std::make_shared<Watch>(engine.executor_, fd);
  watch->wanted = what;
  engine.arm(fd, watch);
  return 0;
}

int CurlEngine::on_close(void* self, curl_socket_t fd) {
  static_cast<CurlEngine*>(self)->forget(fd);
  return ::close(fd);
}

// A peer that vanished without a word is noticed by the kernel, so that a dead
// HTTP/2 connection is not offered to request after request.
int CurlEngine::on_socket_made(void* /*self*/, curl_socket_t fd, curlsocktype /*purpose*/) {
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnackedMilliseconds, sizeof kUnackedMilliseconds);
  return CURL_SOCKOPT_OK;
}

int CurlEngine::on_timer(CURLM* /*multi*/, long milliseconds, void* self) {
  auto& engine = *static_cast<CurlEngine*>(self);
  if (milliseconds < 0) {
    engine.disarm_timer();
  } else if (milliseconds > 0) {
    engine.due_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    if (engine.due_ < engine.waits_until_) engine.arm_timer();
  } else if (!std::exchange(engine.on_time_posted_, true)) {
    asio::post(engine.executor_, [weak = engine.weak_from_this()] {
      const auto alive = weak.lock();
      if (!alive) return;
      alive->on_time_posted_ = false;
      alive->on_time();
    });
  }
  return 0;
}

void CurlEngine::arm_timer() {
  waits_until_ = due_;
  timer_.expires_at(due_);
  timer_.async_wait([weak = weak_from_this(), round = ++timer_round_](const boost::system::error_code& e) {
    const auto alive = weak.lock();
    if (e || !alive || alive->timer_round_ != round) return;
    alive->waits_until_ = kNever;
    if (alive->due_ > std::chrono::steady_clock::now()) return alive->arm_timer();
    alive->on_time();
  });
}

void CurlEngine::disarm_timer() {
  due_ = waits_until_ = kNever;
  ++timer_round_;
  timer_.cancel();
}

// libcurl says again what is due next, but not that nothing is.
void CurlEngine::on_time() {
  due_ = kNever;
  act(CURL_SOCKET_TIMEOUT, 0);
  if (due_ == kNever) disarm_timer();
}

void CurlEngine::arm(curl_socket_t fd, const std::shared_ptr<Watch>& watch) {
  const auto wait = [&](auto kind, bool Watch::*pending, int event) {
    (*watch).*pending = true;
    watch->descriptor.async_wait(
        kind, [weak = weak_from_this(), fd, watch, pending, event](const boost::system::error_code& e) {
          (*watch).*pending = false;
          if (const auto alive = weak.lock()) alive->ready(fd, watch, e, event);
        });
  };
  if ((watch->wanted & CURL_POLL_IN) != 0 && !watch->reading)
    wait(asio::posix::stream_descriptor::wait_read, &Watch::reading, CURL_CSELECT_IN);
  if ((watch->wanted & CURL_POLL_OUT) != 0 && !watch->writing)
    wait(asio::posix::stream_descriptor::wait_write, &Watch::writing, CURL_CSELECT_OUT);
}

void CurlEngine::ready(curl_socket_t fd, const std::shared_ptr<Watch>& watch,
                       const boost::system::error_code& error, int event) {
  // The number may be somebody else's by now; the watch tells.
  if (watch->wanted == 0 || multi_ == nullptr || error == asio::error::operation_aborted) return;
  const bool still_wanted = (watch->wanted & (event == CURL_CSELECT_IN ? CURL_POLL_IN : CURL_POLL_OUT)) != 0;
  if (still_wanted || error) act(fd, error ? CURL_CSELECT_ERR : event);
  if (watch->wanted != 0) arm(fd, watch);
}

void CurlEngine::act(curl_socket_t fd, int event) {
  if (multi_ == nullptr) return;
  int running = 0;
  curl_multi_socket_action(multi_, fd, event, &running);
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode result = message->data.result;
    HttpStream::Impl* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    if (result != CURLE_OK && !transfer->failure) transfer->failure = transfer->error_of(result);
    let_go(*transfer, result == CURLE_OK);
    transfer->ended = true;
    transfer->changed.notify_all();
  }
}

// ---- exchanges -------------------------------------------------------------------

CURL* CurlEngine::take_handle() {
  if (spare_.empty()) return curl_easy_init();
  CURL* easy = spare_.back();
  spare_.pop_back();
  return easy;
}

bool CurlEngine::attach(HttpStream::Impl& t) {
  curl_easy_setopt(t.easy, CURLOPT_PRIVATE, &t);
  curl_easy_setopt(t.easy, CURLOPT_HEADERFUNCTION, &CurlEngine::on_header);
  curl_easy_setopt(t.easy, CURLOPT_HEADERDATA, &t);
  curl_easy_setopt(t.easy, CURLOPT_WRITEFUNCTION, &CurlEngine::on_body);
  curl_easy_setopt(t.easy, CURLOPT_WRITEDATA, &t);
  curl_easy_setopt(t.easy, CURLOPT_CLOSESOCKETFUNCTION, &CurlEngine::on_close);
  curl_easy_setopt(t.easy, CURLOPT_CLOSESOCKETDATA, this);
  curl_easy_setopt(t.easy, CURLOPT_SOCKOPTFUNCTION, &CurlEngine::on_socket_made);
  if (multi_ == nullptr || curl_multi_add_handle(multi_, t.easy) != CURLM_OK) return false;
  t.engine = this;
  t.last_byte = std::chrono::steady_clock::now();
  transfers_.insert(&t);
  return true;
}

void CurlEngine::detach(HttpStream::Impl& t) { let_go(t, false); }

// At once: the handle refers to the transfer and to the client's TLS material. One whose exchange failed or
// was given up is not used again, whatever libcurl may have left in it.
void CurlEngine::let_go(HttpStream::Impl& t, bool well) {
  t.engine = nullptr;
  transfers_.erase(&t);
  CURL* easy = std::exchange(t.easy, nullptr);
  curl_multi_remove_handle(multi_, easy);
  if (well && spare_.size() < kMaxSpare) {
    curl_easy_reset(easy);
    spare_.push_back(easy);
  } else {
    curl_easy_cleanup(easy);
  }
}

void CurlEngine::resume(HttpStream::Impl& t) {
  t.paused = false;
  t.last_byte = std::chrono::steady_clock::now();
  curl_easy_pause(t.easy, CURLPAUSE_CONT);  // may call on_body at once
}

std::size_t CurlEngine::on_header(char* data, std::size_t size, std::size_t count, void* transfer) {
  auto& t = *static_cast<HttpStream::Impl*>(transfer);
  const std::size_t bytes = size * count;
  t.last_byte = std::chrono::steady_clock::now();
  t.header_bytes += bytes;
  if (t.header_bytes > kMaxHeaderBytes) {
    t.failure = t.make_error(Errc::too_large, "http.too_large",
                             fmt::format("the answer's header is larger than {} bytes", kMaxHeaderBytes));
    return 0;
  }
  if (t.header_done) return bytes;  // trailers
  const auto line = trim(std::string_view(data, bytes));
  if (line.starts_with("HTTP/")) {
    t.headers = {};
    return bytes;
  }
  if (!line.empty()) {
    if (const auto colon = line.find(':'); colon != std::string_view::npos)
      t.headers.add(std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
    return bytes;
  }
  long code = 0, version = 0;
  curl_easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &code);
  curl_easy_getinfo(t.easy, CURLINFO_HTTP_VERSION, &version);
  if (code < 200) return bytes;  // 100 Continue and its like announce the real one
  t.status = static_cast<int>(code);
  t.http_version = version == CURL_HTTP_VERSION_2_0 ? 20 : 11;
  const auto length = content_length(t.headers);
  if (t.whole && length && t.request.method != "HEAD" && code != 204 && code != 304) {
    if (*length > t.request.max_body) {
      t.failure = t.make_error(Errc::too_large, "http.too_large",
                               fmt::format("the answer is larger than {} bytes", t.request.max_body));
      return 0;
    }
    t.body.reserve(std::min<std::uint64_t>(*length, kMaxReserve));
  }
  t.header_done = true;
  if (!t.whole) t.changed.notify_all();
  return bytes;
}

std::size_t CurlEngine::on_body(char* data, std::size_t size, std::size_t count, void* transfer) {
  auto& t = *static_cast<HttpStream::Impl*>(transfer);
  const std::size_t bytes = size * count;
  t.last_byte = std::chrono::steady_clock::now();
  if (t.whole) {
    if (bytes > t.request.max_body - t.body.size()) {
      t.failure = t.make_error(Errc::too_large, "http.too_large",
                               fmt::format("the answer is larger than {} bytes", t.request.max_body));
      return 0;
    }
    t.body.append(data, bytes);
    return bytes;
  }
  if (t.body.size() >= kStreamBound) {
    t.paused = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  t.body.append(data, bytes);
  t.changed.notify_all();
  return bytes;
}

}  // namespace oddjob::net
