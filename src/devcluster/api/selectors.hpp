// Label and field selectors.
// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"
#include "devcluster/registry.hpp"

namespace oddjob::devcluster {

class Selector {
 public:
  // Error "BadRequest" names the text. With `r`, only the fields that a real API
  // server selects this kind by are taken.
  static Result<Selector> parse(std::string_view labels, std::string_view fields,
                                const ResourceInfo* r = nullptr);
  [[nodiscard]] bool matches(const json::value& object) const;
  [[nodiscard]] bool everything() const noexcept { return labels_.empty() && fields_.empty(); }

 private:
  enum class Op { in, not_in, exists, absent };
  struct Requirement {
    std::string key;
    Op op = Op::exists;
    std::vector<std::string> values;
  };
  std::vector<Requirement> labels_, fields_;
};

// A LabelSelector object (matchLabels, matchExpressions) against labels.
bool label_selector_matches(const json::value& selector, const json::object* labels);

}  // namespace oddjob::devcluster
