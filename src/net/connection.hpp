// Internal to net: one server connection, from its first byte to its last.
#pragma once

#include <boost/asio.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <ctime>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_server.hpp"
#include "net/transport.hpp"

namespace oddjob::net {

// What all connections of a server share. Outlives the HttpServer while one is left.
struct ServerCore {
  boost::asio::any_io_executor executor;
  ServerOptions options;
  Handler handler;
  std::function<ServerResponse(int, std::string_view)> on_error;
  bool stopping = false;
  std::list<Connection*> connections;
  Notifier ended;  // a connection went

  std::string_view date();  // of this second, as HTTP writes it

 private:
  std::time_t date_second_ = -1;
  std::string date_;
};

// The answering half of one exchange.
struct ResponseWriter::Impl {
  explicit Impl(Connection& c) : connection(c) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Task<Result<>> send(ServerResponse response);
  Task<Result<>> begin(int status, Headers headers);
  Task<Result<>> write(std::string_view bytes);
  Task<Result<>> finish();  // the last chunk
  [[nodiscard]] std::string head_of(int status, const Headers& headers) const;

  Connection& connection;
  bool begun = false, streaming = false, aborted = false;
  bool head_only = false, old_http = false, keep_alive = true;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerCore> core, std::unique_ptr<Transport> transport, std::string peer);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  static Task<> run(std::shared_ptr<Connection> self);

  // Without a request since then; unset while one is being read or answered.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> idle_since() const {
    return closed_ ? std::nullopt : idle_since_;
  }
  void cut(bool reset);
  void set_gone();
  // The current exchange's token. From its first use on, the peer is watched.
  CancelToken gone();
  // Writes all three, whole; the write deadline is that of each slice.
  Task<Result<>> put(std::string head, std::string_view body, std::string_view tail = {});
  void on_watched(const boost::system::error_code& error, std::size_t bytes);
  [[nodiscard]] ServerCore& core() { return *core_; }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  Task<> serve();
  Task<bool> one_exchange();  // false: the connection ends
  // True: read whole. False: refused already, or nobody is there.
  Task<bool> read_request(Parser& parser);
  Task<bool> answer(Parser& parser);
  Task<> call_handler(const ServerRequest& request, ResponseWriter::Impl& writer);
  Task<> refuse(int status, std::string message);
  Task<bool> fill();  // more bytes came
  bool make_room();
  void watch_peer();
  void expire_in(Duration d);
  void never_expire();
  void tick();

  std::shared_ptr<ServerCore> core_;
  std::unique_ptr<Transport> transport_;
  std::string peer_, client_cert_;
  std::list<Connection*>::iterator at_;
  std::vector<char> buffer_;  // unread bytes: [begin_, end_)
  std::size_t begin_ = 0, end_ = 0;

  bool closed_ = false, timed_out_ = false, gone_now_ = false;
  bool watching_ = false;  // a read that nobody awaits is under way
  boost::system::error_code read_error_;
  Notifier watched_;  // that read ended
  std::optional<CancelToken> gone_;
  std::optional<std::chrono::steady_clock::time_point> idle_since_;

  // One timer looks at the deadline now and then; moving the deadline costs nothing.
  boost::asio::steady_timer clock_;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
};

}  // namespace oddjob::net
