#include "server/config/keys.hpp"

namespace oddjob::server::config {

Keys auth_keys() {
  using C = ServerConfig;
  return {
      {"auth.staticTokensFile", "YAML file of static tokens", text(&C::static_tokens_file), Reload::live},
      {"auth.tokenReview", "accept Kubernetes tokens by TokenReview", boolean(&C::token_review)},
      {"auth.tokenReviewAudiences", "audiences a Kubernetes token must have one of",
       words(&C::token_review_audiences)},
      {"auth.frontProxy", "take callers by way of the Kubernetes API server, by an APIService; needs TLS",
       boolean(&C::front_proxy)},
      {"auth.adminTeams", "teams whose members are admins", words(&C::admin_teams), Reload::live},
      {"auth.auditorTeams", "teams whose members may read the whole audit", words(&C::auditor_teams),
       Reload::live},
      {"auth.aliases", "lists of user names that are one person, for approvals", sets(&C::aliases),
       Reload::live},
  };
}

}  // namespace oddjob::server::config
