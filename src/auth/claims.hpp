// From the claims of a token whose signature holds to a subject. Pure.
#pragma once

#include <string>
#include <string_view>

#include "auth/issuer.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/json.hpp"
#include "core/words.hpp"

namespace oddjob::auth {

// Is `audience` of this entry in the token's `aud`? Tells two entries of one issuer apart.
bool audience_fits(const json::value& claims, const Issuer& issuer);

// Everything that is asked of a token: `iss` to the byte, one of the audiences,
// `azp`, `exp`, `nbf` and `iat` within the skew, the required claims, and then
// who it is. Errors, kind unauthenticated, each naming what is wrong and never
// the token:
//   "auth.token_malformed"  no object, or `exp` missing, or a claim of a wrong type
//   "auth.token_issuer", "auth.token_audience", "auth.token_party"
//   "auth.token_expired", "auth.token_not_yet"
//   "auth.token_type"       a logout or security event token
//   "auth.token_claim"      a required claim is another; no workload fits
//   "auth.token_email"      `email` is not said to be verified
//   "auth.token_username"   the claim for the name is missing or no name
// Groups that are no plain names, or begin with "system:", are left out.
Result<Subject> subject_of(const json::value& claims, const Issuer& issuer, Time now);

bool holds(const ClaimCondition& condition, const json::value& claims);

}  // namespace oddjob::auth
