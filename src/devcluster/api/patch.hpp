// The patch formats of the Kubernetes API. Pure.
#pragma once

#include <string_view>

#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob::devcluster {

Result<json::value> json_patch(json::value target, const json::value& patch);  // RFC 6902
json::value merge_patch(json::value target, const json::value& patch);         // RFC 7386
// Lists merge by the keys of the built-in kinds; $patch, $setElementOrder,
// $deleteFromPrimitiveList and $retainKeys are understood.
// Error "BadRequest": an element without its list's merge key.
Result<json::value> strategic_merge(json::value target, const json::value& patch);

// Server-side apply: `applied` is what `manager` says the object shall be.
// Fields that it applied before and leaves out now go; fields of other appliers
// conflict (Error "Conflict", naming manager and fields) unless `force`.
// metadata.managedFields records who applied what.
Result<json::value> server_side_apply(json::value live, const json::value& applied, std::string_view manager,
                                      bool force, std::string_view now);
// For writes that do not apply: notes in next.metadata.managedFields what `manager`
// changes. Only objects that were applied once are tracked.
void track_update(const json::value& before, json::value& next, std::string_view manager,
                  std::string_view subresource, std::string_view now);

}  // namespace oddjob::devcluster
