// The recorded manifest of a run's Job: env values taken out before it is
// stored and put back before it is sent, and whether a Job found in the cluster
// is the one that was recorded. Pure.
#pragma once

#include <string>
#include <vector>

#include "core/json.hpp"
#include "core/words.hpp"

namespace oddjob::runs {

// Env variables of the request whose values may not be stored.
std::vector<EnvVar> secret_env(const RunRequest& request);
// Does the stored request name such variables?
bool had_secret_env(const json::object& recorded_request);

// Removes the values of `secrets` from the environment of `container`.
void take_values(json::value& job, std::string_view container, const std::vector<EnvVar>& secrets);
// Puts them back.
void put_values(json::value& job, std::string_view container, const std::vector<EnvVar>& secrets);

// The request as it was recorded; values that were not stored are empty.
Result<RunRequest> recorded_request(const Run& run);

// Is `live`, as the API server has it, the Job that this run made or would
// make? By run id, digest, the command, and, once it is known, the uid.
bool is_ours(const Run& run, const json::value& live);

// Where `live`, as the API server has it, differs from the recorded manifest: a
// path each, at most ten. What the API server adds (defaults, status) is no
// difference, nor what it writes another way (an empty field left out, "1000m"
// as "1"), nor `suspend`. Env values that were not recorded are not compared.
std::vector<std::string> differences_of(const json::value& recorded, const json::value& live);

}  // namespace oddjob::runs
