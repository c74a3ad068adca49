// From the bytes of a tar, pushed in pieces of any size, to layer entries. File
// contents are passed over without being looked at.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/error.hpp"
#include "image/index/layer_index.hpp"
#include "image/index/layer_reader.hpp"
#include "image/index/tar_header.hpp"

namespace oddjob::image {

class TarReader {
 public:
  explicit TarReader(const LayerLimits& limits) : limits_(limits) {}

  // Errors: those of LayerReader::feed about headers, paths and entries.
  Result<> feed(std::string_view bytes);
  // Error "layer.truncated". Takes what was read; about() gives the sizes.
  Result<LayerIndex> finish(LayerStats about);

  [[nodiscard]] std::uint64_t entries() const noexcept { return writer_.entries(); }

 private:
  enum class State : std::uint8_t {
    header,      // the next block is a header
    content,     // skip_ bytes to pass over
    collect,     // collect_left_ bytes of a long name or pax header, then its padding
    sparse_map,  // the next block continues an old GNU sparse map
    ended,       // two empty blocks were seen: whatever follows is no part of the tar
  };

  Result<> block(TarBlock b);
  Result<> header(TarBlock b);
  Result<> collected();
  Result<> entry();
  Result<> emit(EntryKind kind);
  Result<> whiteout(LayerEntry& e, std::string_view directory, std::string_view name);
  void pass_over(std::uint64_t size);

  LayerLimits limits_;
  LayerIndex::Writer writer_;
  std::uint64_t skipped_ = 0;

  State state_ = State::header;
  bool empty_block_ = false;  // one was seen, a second ends the tar
  std::uint64_t skip_ = 0;    // content and padding
  std::string block_;         // of a header that is cut between two pieces
  char collecting_ = '\0';    // 'x', 'L', 'K', or 'g'
  std::uint64_t collect_left_ = 0;
  std::string collected_;

  TarHeader header_;
  bool pending_ = false;  // a pax header or long name waits for its entry
  PaxRecords pax_;
  std::string long_name_;  // GNU 'L', and 'K' below
  std::string long_link_;

  std::string path_;  // scratch of emit()
  std::string link_;
};

}  // namespace oddjob::image
