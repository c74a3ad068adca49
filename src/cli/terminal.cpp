#include "cli/terminal.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/text.hpp"

namespace oddjob::cli {
namespace {

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd p{fd, POLLOUT, 0};
      ::poll(&p, 1, 1000);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

// Code points; good enough for the words and names that tables hold.
std::size_t columns(std::string_view s) {
  return static_cast<std::size_t>(std::ranges::count_if(s, [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

Terminal detect_terminal(const Environment& environment) {
  const auto value = [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string_view{} : std::string_view(found->second);
  };
  Terminal t;
  t.in_tty = ::isatty(STDIN_FILENO) == 1;
  t.out_tty = ::isatty(STDOUT_FILENO) == 1;
  t.err_tty = ::isatty(STDERR_FILENO) == 1;
  const bool dumb = value("TERM").empty() || value("TERM") == "dumb";
  t.color = t.out_tty && value("NO_COLOR").empty() && !dumb;
  t.live = t.err_tty && !dumb;
  winsize size{};
  if (t.err_tty && ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) t.width = size.ws_col;
  return t;
}

bool write_out(std::string_view bytes) { return write_all(STDOUT_FILENO, bytes); }
bool write_err(std::string_view bytes) { return write_all(STDERR_FILENO, bytes); }

std::string Table::text() const {
  std::vector<std::size_t> widths(header_.size());
  for (std::size_t i = 0; i < header_.size(); ++i) {
    widths[i] = columns(header_[i]);
    for (const auto& row : rows_) widths[i] = std::max(widths[i], columns(row[i]));
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      text += cells[i];
      if (i + 1 < cells.size()) text.append(widths[i] - columns(cells[i]) + 3, ' ');
    }
    while (text.ends_with(' ')) text.pop_back();
    out += text + "\n";
  };
  line(header_);
  for (const auto& row : rows_) line(row);
  return out;
}

std::string age(std::string_view rfc3339, Time now) {
  const auto then = parse_time(rfc3339);
  if (!then) return "<unknown>";
  const auto passed = std::chrono::duration_cast<Duration>(now - *then);
  return human_duration(std::max(passed, Duration::zero()));
}

void StatusLine::show(std::string text) {
  if (!live_) return;
  text_ = std::move(text);
  draw();
}

void StatusLine::tick() {
  if (!shown_) return;
  ++frame_;
  draw();
}

void StatusLine::draw() {
  static constexpr std::array<std::string_view, 10> kFrames = {"⠋", "⠙", "⠹", "⠸", "⠼",
                                                               "⠴", "⠦", "⠧", "⠇", "⠏"};
  // An ellipsis is three bytes; the spinner and the space take two columns.
  const auto room = static_cast<std::size_t>(std::max(width_ - 6, 10));
  write_err(fmt::format("\r\x1b[K{} {}", kFrames[frame_ % kFrames.size()], printable(text_, room)));
  shown_ = true;
}

void StatusLine::clear() {
  if (!shown_) return;
  write_err("\r\x1b[K");
  shown_ = false;
}

void print_error(const Error& e) {
  std::string text = "oddjob: " + printable(e.message, 4096) + "\n";
  if (!e.hint.empty()) text += "  hint: " + printable(e.hint, 1024) + "\n";
  write_err(text);
}

}  // namespace oddjob::cli
