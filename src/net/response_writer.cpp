// Answers put into bytes.
#include <fmt/format.h>

#include "core/text.hpp"
#include "net/connection.hpp"

namespace oddjob::net {
namespace asio = boost::asio;

namespace {

constexpr std::size_t kJoinBelow = 16U << 10U;  // copying so much is cheaper than a second record or segment
constexpr std::size_t kSlice = 256U << 10U;     // what a slow client has the write timeout for

bool ours(std::string_view name) {
  const auto lower = ascii_lower(name);
  return lower == "content-length" || lower == "transfer-encoding" || lower == "date" ||
         lower == "connection";
}

bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

}  // namespace

Task<Result<>> Connection::put(std::string head, std::string_view body, std::string_view tail) {
  if (body.size() <= kJoinBelow) {
    head.append(body).append(tail);
    body = tail = {};
  }
  std::string_view before = head;
  while (!closed_) {
    const auto slice = body.substr(0, kSlice);
    body.remove_prefix(slice.size());
    const auto after = body.empty() ? tail : std::string_view{};
    std::array<asio::const_buffer, 3> bytes = {asio::buffer(before), asio::buffer(slice),
                                               asio::buffer(after)};
    expire_in(core_->options.write_timeout);
    const auto error = co_await transport_->write(bytes);
    never_expire();
    if (error || closed_) break;
    if (body.empty()) co_return Result<>{};
    before = {};
  }
  const bool slow = timed_out_;
  cut(true);
  if (slow)
    co_return fail(Errc::deadline_exceeded, "http.write_timeout", "the client does not read its answer");
  co_return fail(Errc::cancelled, "http.client_gone", "the client went away");
}

std::string ResponseWriter::Impl::head_of(int status, const Headers& headers) const {
  std::string out;
  out.reserve(512);
  fmt::format_to(std::back_inserter(out), "HTTP/1.{} {} {}\r\n", old_http ? 0 : 1, status,
                 status_text(status));
  for (const auto& [name, value] : headers) {
    if (ours(name)) continue;
    const auto from = out.size();
    out.append(name).append(": ").append(value);
    // A line break in a value would let it write headers of its own.
    for (auto i = from; i < out.size(); ++i) {
      if (out[i] == '\r' || out[i] == '\n' || out[i] == '\0') out[i] = ' ';
    }
    out += "\r\n";
  }
  out.append("Date: ").append(connection.core().date()).append("\r\n");
  if (!keep_alive) {
    out += "Connection: close\r\n";
  } else if (old_http) {
    out += "Connection: keep-alive\r\n";
  }
  return out;
}

Task<Result<>> ResponseWriter::Impl::send(ServerResponse response) {
  if (begun) co_return fail(Errc::internal, "http.answered_twice", "the exchange has its answer already");
  begun = true;
  if (connection.core().stopping) keep_alive = false;
  std::string head = head_of(response.status, response.headers);
  if (has_no_body(response.status)) {
    response.body.clear();
  } else {
    fmt::format_to(std::back_inserter(head), "Content-Length: {}\r\n", response.body.size());
  }
  head += "\r\n";
  if (head_only) response.body.clear();
  co_return co_await connection.put(std::move(head), response.body);
}

Task<Result<>> ResponseWriter::Impl::begin(int status, Headers headers) {
  if (begun) co_return fail(Errc::internal, "http.answered_twice", "the exchange has its answer already");
  begun = true;
  streaming = true;
  if (old_http || connection.core().stopping)
    keep_alive = false;  // HTTP/1.0: the connection's end is the body's
  std::string head = head_of(status, headers);
  if (has_no_body(status)) {
    head_only = true;
  } else if (!old_http) {
    head += "Transfer-Encoding: chunked\r\n";
  }
  head += "\r\n";
  connection.gone();  // whoever streams wants to know
  co_return co_await connection.put(std::move(head), {});
}

Task<Result<>> ResponseWriter::Impl::write(std::string_view bytes) {
  if (!streaming) co_return fail(Errc::internal, "http.not_begun", "nothing is written before begin()");
  if (aborted) co_return fail(Errc::cancelled, "http.client_gone", "the exchange was cut");
  if (bytes.empty() || head_only) co_return Result<>{};  // an empty chunk would be the end
  if (old_http) co_return co_await connection.put({}, bytes);
  co_return co_await connection.put(fmt::format("{:x}\r\n", bytes.size()), bytes, "\r\n");
}

Task<Result<>> ResponseWriter::Impl::finish() {
  if (!streaming || old_http || head_only) co_return Result<>{};
  co_return co_await connection.put("0\r\n\r\n", {});
}

Task<Result<>> ResponseWriter::send(ServerResponse response) { return impl_.send(std::move(response)); }
Task<Result<>> ResponseWriter::begin(int status, Headers headers) {
  return impl_.begin(status, std::move(headers));
}
Task<Result<>> ResponseWriter::write(std::string_view bytes) { return impl_.write(bytes); }
void ResponseWriter::abort() {
  impl_.aborted = true;
  impl_.connection.cut(true);
}
bool ResponseWriter::begun() const noexcept { return impl_.begun; }
CancelToken ResponseWriter::gone() const { return impl_.connection.gone(); }

}  // namespace oddjob::net
