#include "image/registry/source.hpp"

#include <fmt/format.h>

#include "image/registry/hasher.hpp"

namespace oddjob::image {

net::Task<Result<std::string>> read_blob(Source& source, Descriptor d, std::size_t max_bytes) {
  if (std::cmp_greater(d.size, max_bytes)) {
    co_return fail(Errc::too_large, "image.too_large",
                   fmt::format("the blob {} has {} bytes; at most {} are read", d.digest, d.size, max_bytes));
  }
  OJ_CO_TRY(const auto blob, co_await source.blob(d));
  BlobCheck check(d);
  std::string out;
  for (;;) {
    OJ_CO_TRY(const auto piece, co_await blob->read());
    if (piece.empty()) break;
    OJ_CO_CHECK(check.update(piece));
    out += piece;
  }
  OJ_CO_CHECK(check.finish());
  co_return out;
}

}  // namespace oddjob::image
