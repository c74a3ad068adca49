#include "devcluster/node/log_reader.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "core/clock.hpp"

namespace oddjob::devcluster {
namespace {

constexpr std::size_t kChunk = 64U << 10U;
constexpr Duration kRecheck = std::chrono::seconds(1);

struct File {
  int fd = -1;
  explicit File(const std::string& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd >= 0) ::close(fd);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] std::string read_at(off_t at) const {
    std::string out(kChunk, '\0');
    const auto n = fd < 0 ? 0 : ::pread(fd, out.data(), out.size(), at);
    out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return out;
  }
};

// "2026-01-02T03:04:05.123456789Z stdout F text"
struct Entry {
  std::string_view time, text;
  bool full = false;
};
bool parse(std::string_view line, Entry& e) {
  const auto a = line.find(' ');
  if (a == std::string_view::npos || line.size() < a + 10) return false;
  e.time = line.substr(0, a);
  e.full = line[a + 8] == 'F';
  e.text = line.substr(a + 10);
  return true;
}

// Where the last `n` lines begin.
off_t tail_start(const File& file, std::int64_t n) {
  const off_t end = ::lseek(file.fd, 0, SEEK_END);
  if (n <= 0) return end;
  std::vector<off_t> starts;  // of full lines; a ring of n + 1 would do, but logs are bounded
  off_t line_start = 0, entry_start = 0;
  std::string rest;
  for (off_t at = 0; at < end;) {
    const auto chunk = file.read_at(at);
    if (chunk.empty()) break;
    at += static_cast<off_t>(chunk.size());
    rest += chunk;
    std::size_t from = 0;
    for (std::size_t nl = 0; (nl = rest.find('\n', from)) != std::string::npos; from = nl + 1) {
      Entry e;
      const auto next = entry_start + static_cast<off_t>(nl - from + 1);
      if (parse(std::string_view(rest).substr(from, nl - from), e) && e.full) {
        starts.push_back(line_start);
        line_start = next;
      }
      entry_start = next;
    }
    rest.erase(0, from);
  }
  if (line_start < entry_start) starts.push_back(line_start);
  return starts.size() <= static_cast<std::size_t>(n) ? 0
                                                      : starts[starts.size() - static_cast<std::size_t>(n)];
}

}  // namespace

net::Task<Result<>> read_log(std::string path, LogRequest request, net::Notifier& grew,
                             std::function<bool()> ended,
                             std::function<net::Task<Result<>>(std::string_view)> write) {
  std::optional<Time> since;
  if (!request.since_time.empty()) {
    auto t = parse_time(request.since_time);
    if (!t) co_return fail(Errc::invalid_argument, "BadRequest", t.error().message);
    since = std::chrono::floor<std::chrono::seconds>(*t);
  }
  if (request.since_seconds) since = system_clock().now() - std::chrono::seconds(*request.since_seconds);
  const File file(path);
  off_t at = request.tail_lines ? tail_start(file, *request.tail_lines) : 0;
  std::int64_t left = request.limit_bytes.value_or(INT64_MAX);
  std::string rest, out;
  bool new_line = true, skipping = false;
  for (;;) {
    const auto ticket = grew.ticket();
    const bool last = ended();  // before the read: what came before the end is then in the file
    const auto chunk = file.read_at(at);
    if (chunk.empty()) {
      if (!request.follow || last) co_return Result<>{};
      co_await grew.wait_beyond(ticket, kRecheck);
      continue;
    }
    at += static_cast<off_t>(chunk.size());
    rest += chunk;
    std::size_t from = 0;
    for (std::size_t nl = 0; (nl = rest.find('\n', from)) != std::string::npos; from = nl + 1) {
      Entry e;
      if (!parse(std::string_view(rest).substr(from, nl - from), e)) continue;
      if (new_line && since) {
        const auto t = parse_time(e.time);
        skipping = t && *t < *since;
      }
      if (!skipping) {
        if (new_line && request.timestamps) {
          out += e.time;
          out += ' ';
        }
        out += e.text;
        if (e.full) out += '\n';
      }
      new_line = e.full;
    }
    rest.erase(0, from);
    if (out.empty()) continue;
    if (static_cast<std::int64_t>(out.size()) > left) out.resize(static_cast<std::size_t>(left));
    left -= static_cast<std::int64_t>(out.size());
    OJ_CO_CHECK(co_await write(out));
    out.clear();
    if (left <= 0) co_return Result<>{};
  }
}

}  // namespace oddjob::devcluster
