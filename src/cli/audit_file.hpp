// An exported audit chain: written whole or not at all, checked without a server,
// and held to a checkpoint that was signed earlier.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/audit.hpp"
#include "core/checkpoint.hpp"
#include "core/error.hpp"

namespace oddjob::cli {

// Reads the chain of docs/formats/audit.md from JSON lines, piece by piece.
// The first fault ends it: "cli.audit_broken", which names the record.
class ChainReader {
 public:
  Result<> feed(std::string_view bytes);
  // At the end: an unfinished line, or (of an export) no record of the export,
  // is "cli.export_cut".
  Result<> finish(bool is_export);
  [[nodiscard]] std::int64_t records() const noexcept { return records_; }
  // Remembers the hash of record `seq` when it comes; hash_at() is empty before that.
  void remember(std::int64_t seq) noexcept { remembered_ = seq; }
  [[nodiscard]] const std::string& hash_at() const noexcept { return hash_at_; }
  [[nodiscard]] const std::string& head() const noexcept { return head_; }

 private:
  Result<> line(std::string_view text);
  std::string rest_, head_{kAuditGenesis}, last_type_;
  std::int64_t records_ = 0, remembered_ = -1;
  std::string hash_at_;
};

// A checkpoint and the key that must have signed it.
struct CheckpointFiles {
  std::string note, public_key;  // paths; both or none
};
// Errors: "cli.usage" (one without the other), "file.unreadable", those of open_checkpoint().
// nullopt: none was given.
Result<std::optional<Checkpoint>> read_checkpoint(const CheckpointFiles& files);
// Is record c.records, whose hash is `hash` (empty: it is not there), what was signed?
// "cli.audit_rewritten" says what is wrong.
Result<> hold_to(const Checkpoint& c, std::string_view hash);

// A file that appears under its name only when it is complete. Mode 0600.
class NewFile {
 public:
  // Error "file.unwritable".
  static Result<NewFile> create(std::string path);
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();  // removes what was not committed
  Result<> write(std::string_view bytes);
  Result<> commit();

 private:
  NewFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  std::string path_, temporary_;
  int fd_;
};

}  // namespace oddjob::cli
