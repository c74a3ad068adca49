// Internal to net: libcurl's multi interface driven by the loop.
#pragma once

#include <curl/curl.h>

#include <boost/asio.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "net/http_client.hpp"

namespace oddjob::net {

class CurlEngine;

// For messages: method and URL without the query, which may hold what is not for a log.
std::string describe(const HttpRequest& request);

// One exchange. libcurl holds raw pointers to it while it is attached to an
// engine, so it never moves; the destructor detaches.
struct HttpStream::Impl {
  CurlEngine* engine = nullptr;  // null: not under way
  CURL* easy = nullptr;
  curl_slist* header_list = nullptr;
  curl_slist* connect_to = nullptr;
  char error_text[CURL_ERROR_SIZE] = {};

  HttpRequest request;
  bool whole = false;  // fetch(): bounded by max_body instead of by backpressure
  bool proxied = false;

  int status = 0, http_version = 11;
  Headers headers;
  std::size_t header_bytes = 0;
  bool header_done = false, ended = false, paused = false;
  std::optional<Error> failure;  // why it ended, if not well
  std::string body;              // what came and was not read yet
  std::chrono::steady_clock::time_point last_byte;
  Notifier changed;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();
  // Ends the exchange, with the first failure that was named.
  void stop(Error why);
  [[nodiscard]] Error make_error(Errc kind, std::string code, std::string_view text) const;
  // What libcurl's verdict means in the words of http_client.hpp.
  [[nodiscard]] Error error_of(CURLcode result) const;
};

// A multi handle with its sockets and its timer. No callback of libcurl calls
// back into libcurl, nor does any run code of a user.
class CurlEngine : public std::enable_shared_from_this<CurlEngine> {
 public:
  CurlEngine(const boost::asio::any_io_executor& executor, std::size_t max_connections);
  ~CurlEngine();
  CurlEngine(const CurlEngine&) = delete;
  CurlEngine& operator=(const CurlEngine&) = delete;

  // A handle with no option set, for a transfer; null: out of memory.
  CURL* take_handle();
  // `transfer.easy`, which is of take_handle(), must be set up but for its callbacks.
  bool attach(HttpStream::Impl& transfer);
  void detach(HttpStream::Impl& transfer);
  void resume(HttpStream::Impl& transfer);  // after a pause
  // Ends everything with "http.cancelled".
  void close();

 private:
  static constexpr auto kNever = std::chrono::steady_clock::time_point::max();
  struct Watch;
  static int on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void* socket);
  static int on_timer(CURLM* multi, long milliseconds, void* self);
  static int on_close(void* self, curl_socket_t fd);
  static int on_socket_made(void* self, curl_socket_t fd, curlsocktype purpose);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* transfer);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* transfer);

  // `well`: the exchange ended as it should, so that its handle may serve another.
  void let_go(HttpStream::Impl& transfer, bool well);
  void arm_timer();
  void disarm_timer();
  void on_time();
  void forget(curl_socket_t fd);
  void arm(curl_socket_t fd, const std::shared_ptr<Watch>& watch);
  void ready(curl_socket_t fd, const std::shared_ptr<Watch>& watch, const boost::system::error_code& error,
             int event);
  void act(curl_socket_t fd, int event);

  boost::asio::any_io_executor executor_;
  CURLM* multi_;
  boost::asio::steady_timer timer_;
  std::uint64_t timer_round_ = 0;
  // When libcurl wants to be called, and until when the timer waits: perhaps less long, and then it
  // waits again. Each request puts off what is due, and setting a timer is a call of the kernel.
  std::chrono::steady_clock::time_point due_ = kNever, waits_until_ = kNever;
  bool on_time_posted_ = false;
  std::map<curl_socket_t, std::shared_ptr<Watch>> watches_;
  std::set<HttpStream::Impl*> transfers_;
  std::vector<CURL*> spare_;  // reset; at most kMaxSpare
};

}  // namespace oddjob::net
