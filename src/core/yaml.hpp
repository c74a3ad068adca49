// YAML 1.2 core schema <-> JSON values, by yaml-cpp. Reads what kubectl reads:
// plain scalars typed (null, bool, int, float), quoted ones strings.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob {

inline constexpr std::size_t kMaxYamlBytes = 8U << 20U;

// One or several documents; empty documents are skipped. `what` names the
// input in errors. Errors: "yaml.malformed" with line and column,
// "yaml.too_large", "yaml.too_deep" (also alias bombs), "yaml.duplicate_key".
Result<std::vector<json::value>> parse_yaml_documents(std::string_view text, std::string_view what);
// Exactly one document; error "yaml.document_count" otherwise.
Result<json::value> parse_yaml(std::string_view text, std::string_view what);
// The same, and where everything stands: the line (from 1) of each key and list
// element by its path, such as "spec.parameters[2].type".
struct LocatedDocument {
  json::value value;
  std::map<std::string, int, std::less<>> lines;
};
Result<std::vector<LocatedDocument>> parse_located_yaml(std::string_view text, std::string_view what);
// Block style, two spaces, keys in their own order; strings quoted where a YAML
// 1.1 or 1.2 reader would read something else. Ends in newline.
std::string to_yaml(const json::value& v);

}  // namespace oddjob
