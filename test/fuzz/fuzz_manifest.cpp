// What a registry, a Secret or a helper may send as text: manifests, indexes,
// configurations, challenges, tokens, credentials, names. The first byte says which.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "image/registry/challenge.hpp"
#include "image/registry/credentials.hpp"
#include "image/registry/manifest.hpp"
#include "image/registry/reference.hpp"

using namespace oddjob::image;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 7) {
    case 0: {
      const auto parsed = parse_manifest(text, "", "the image");
      if (!parsed) break;
      if (const auto* index = std::get_if<Index>(&*parsed)) {
        (void)choose_platform(*index, Platform{"linux", "amd64", ""}, "the image");
      } else if (!is_digest(std::get<Manifest>(*parsed).config.digest)) {
        __builtin_trap();
      }
      break;
    }
    case 1:
      (void)parse_config(text, "the configuration");
      break;
    case 2:
      (void)parse_challenges(text);
      break;
    case 3: {
      const auto token = parse_token(text, "https://auth.example.com");
      if (token && token->value.find_first_of("\r\n ") != std::string::npos) __builtin_trap();
      break;
    }
    case 4: {
      const auto config = parse_docker_config(text, "the file");
      if (config) (void)matching(*config, *parse_reference("registry.example.com/team/app"));
      break;
    }
    case 5: {
      // What was read is written, and read again, the same.
      const auto reference = parse_reference(text);
      if (!reference) break;
      const auto again = parse_reference(to_string(*reference));
      if (!again || !(*again == *reference)) __builtin_trap();
      break;
    }
    default:
      (void)parse_helper_output(text, "helper");
  }
  return 0;
}
