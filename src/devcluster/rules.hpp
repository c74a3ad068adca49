// Defaulting and validation of objects, as far as the dev cluster does it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/json.hpp"
#include "core/quantity.hpp"
#include "devcluster/registry.hpp"

namespace oddjob::devcluster {

// Fills in what a real API server would (the fields that clients look at).
void apply_defaults(const ResourceInfo& r, json::value& object);

// One thing that is wrong with an object.
struct Cause {
  std::string reason;  // FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, …
  std::string field, message;
};
// Everything that is wrong; `before` is null at creation.
std::vector<Cause> validate_object(const ResourceInfo& r, const json::value& object,
                                   const json::value* before);
// Fills in a CustomResourceDefinition's defaults and checks an object against its
// openAPIV3Schema: types, required, enum, pattern, bounds. CEL rules are ignored,
// unknown fields are kept.
std::vector<Cause> apply_custom_schema(const json::value& crd, json::value& object);
// The mutating part of admission: a new pod gets its service account's token and the
// defaults of the namespace's LimitRanges.
void admit_pod(const Storage& storage, std::string_view ns, json::value& pod);
// "Forbidden" where a LimitRange of the namespace has other bounds.
Result<> check_limits(const Storage& storage, std::string_view ns, const json::value& pod);
// "Forbidden" where the pod breaks the Pod Security level that the namespace enforces.
Result<> check_pod_security(const Storage& storage, std::string_view ns, const json::value& pod);
// "Forbidden" where a ResourceQuota of the namespace has no room for this new object.
Result<> check_quota(const Storage& storage, const ResourceInfo& r, std::string_view ns,
                     const json::value& object);
// The status of a ResourceQuota: its bounds, and what the namespace's objects take of them.
json::value quota_status(const Storage& storage, const std::vector<const ResourceInfo*>& resources,
                         const json::value& quota);
// A quantity in thousandths as people write it: "500m", "2", "64Mi".
std::string format_quantity(Quantity::Int milli);
// The Invalid error for these causes, worded as a real API server words it.
Error invalid(const ResourceInfo& r, std::string_view name, const std::vector<Cause>& causes);

}  // namespace oddjob::devcluster
