// What we write to, and how: tables, ages, colours, a live status line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/config.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"

namespace oddjob::cli {

struct Terminal {
  bool out_tty = false, err_tty = false, in_tty = false;
  bool color = false;  // on standard output; NO_COLOR and TERM=dumb turn it off
  bool live = false;   // standard error can redraw a line
  int width = 80;
};
Terminal detect_terminal(const Environment& environment);

// Writes all of it; false when nobody reads any more (EPIPE) or the disk is full.
bool write_out(std::string_view bytes);  // standard output, unbuffered
bool write_err(std::string_view bytes);

// Columns as kubectl prints them: upper-case header, three spaces between.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// "5m" since an RFC 3339 time; "<unknown>" if it can't be read.
std::string age(std::string_view rfc3339, Time now);

// One line at the bottom of the terminal that says what is going on.
class StatusLine {
 public:
  explicit StatusLine(const Terminal& terminal) : live_(terminal.live), width_(terminal.width) {}
  void show(std::string text);  // replaces; on a pipe prints nothing
  void tick();                  // next frame of the spinner
  void clear();
  [[nodiscard]] bool shown() const noexcept { return shown_; }

 private:
  void draw();
  bool live_, shown_ = false;
  int width_;
  unsigned frame_ = 0;
  std::string text_;
};

// `oddjob: <message>` and, if there is one, `  hint: <hint>`, on standard error.
void print_error(const Error& e);

}  // namespace oddjob::cli
