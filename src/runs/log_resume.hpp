// From the timestamped log that Kubernetes sends to the bytes that the archive
// keeps, and back to the same place after a cut. Pure.
//
// The server sends every line as "<RFC 3339 with nanoseconds> <bytes>\n". The
// timestamp is taken off, the bytes pass unchanged (NUL, invalid UTF-8, any
// length: a line is never held back for its end). A LogCursor says what was
// archived; since the server resumes by whole seconds only, an opened-again log
// begins earlier, and what the cursor covers is dropped.
//
// Lines of stdout and stderr are stamped before they are ordered, so a line may
// stand behind one with a slightly later timestamp. The place of the cursor is
// therefore found by its own line; lines with a later timestamp in front of it
// are held (bounded) until it is clear that it does not come.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/store.hpp"

namespace oddjob::runs {

// Nanoseconds since the epoch of an RFC 3339 timestamp; nullopt if it is none.
std::optional<std::int64_t> parse_log_time(std::string_view text) noexcept;

// What to pass as sinceTime to find the cursor's line again: two seconds are
// kept as a margin, one for the cut to whole seconds and one for lines out of
// order. Empty for an empty cursor: everything.
std::string since_time(const store::LogCursor& cursor);

class LogResume {
 public:
  explicit LogResume(store::LogCursor archived = {});

  // Takes bytes as the server sent them, cut anywhere; appends what is new to
  // `out`. cursor() is then the place after `out`'s last byte.
  void feed(std::string_view bytes, std::string& out);
  // The server has nothing more now (end of stream, or a pause): what was held
  // is new after all.
  void settle(std::string& out);
  [[nodiscard]] bool holding() const noexcept { return !held_.empty(); }

  [[nodiscard]] const store::LogCursor& cursor() const noexcept { return cursor_; }
  // Begin again from cursor(): the stream was cut, or is opened once more.
  void reopen();

  // Text in the stream that is no log line: the kubelet says its own troubles
  // there ("unable to retrieve container logs for …"). At most 512 bytes.
  [[nodiscard]] const std::string& note() const noexcept { return note_; }

 private:
  enum class Place { stamp, content, skip, hold, note };
  std::size_t take_stamp(std::string_view bytes, std::string& out);
  void begin_line(std::int64_t at, std::string& out);
  void seek(std::int64_t at, std::string& out);
  void begin_content(std::int64_t at);
  void pass(std::string_view bytes, bool line_ends, std::string& out);

  store::LogCursor cursor_;
  std::int64_t cursor_at_ = 0;  // its timestamp in nanoseconds

  // The stream that is open.
  Place place_ = Place::stamp;
  std::string stamp_;         // of the present line, perhaps cut
  bool seeking_ = false;      // the cursor's line has not come yet
  std::int64_t seen_at_ = 0;  // complete lines with the cursor's timestamp so far
  bool counts_ = false;       // the line that is skipped is one of them
  bool fresh_ = false;        // the present line has given nothing yet
  std::int64_t drop_ = 0;     // bytes of the present line that are archived
  std::string held_;          // raw lines with their timestamps
  std::string note_;
};

}  // namespace oddjob::runs
