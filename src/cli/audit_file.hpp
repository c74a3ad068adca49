// An exported audit chain: written whole or not at all, checked without a server.
#pragma once

#include <string>
#include <string_view>

#include "core/audit.hpp"
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
  [[nodiscard]] const std::string& head() const noexcept { return head_; }

 private:
  Result<> line(std::string_view text);
  std::string rest_, head_{kAuditGenesis}, last_type_;
  std::int64_t records_ = 0;
};

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
