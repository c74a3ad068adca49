// Label selectors of the Kubernetes API, matched against labels.
#pragma once

#include "core/json.hpp"

namespace oddjob::render {

// A LabelSelector {matchLabels, matchExpressions}. No selector (null) matches
// nothing, an empty one everything, as in policy/v1 and apps/v1. An expression
// that can't be read matches nothing: the API server would have refused it.
bool selector_matches(const json::value* selector, const json::object& labels) noexcept;

// A Service's spec.selector: plain equality, and an empty one matches nothing.
bool service_selector_matches(const json::value* selector, const json::object& labels) noexcept;

}  // namespace oddjob::render
