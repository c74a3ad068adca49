// Issuers and named teams: what auth reads, and what the schema says of it.
#include "server/config/keys.hpp"

namespace oddjob::server::config {
namespace {

json::object described(json::object schema, std::string_view meaning) {
  schema["description"] = meaning;
  return schema;
}

json::object closed(json::object properties, json::array required) {
  return {{"type", "object"},
          {"additionalProperties", false},
          {"required", std::move(required)},
          {"properties", std::move(properties)}};
}

// Claims to what they must be.
json::object conditions_schema() {
  const json::value scalar = json::object{{"type", json::array{"string", "integer", "boolean"}}};
  json::object any;
  any["anyOf"] = json::array{
      scalar, json::object{{"type", "array"}, {"minItems", 1}, {"items", scalar}},
      closed({{"pattern", described(text_schema(), "RE2, for the whole value")}}, json::array{"pattern"})};
  return {{"type", "object"}, {"minProperties", 1}, {"additionalProperties", std::move(any)}};
}

json::object issuers_schema() {
  json::object workload =
      closed({{"claims", described(conditions_schema(), "what the token must say; all of it")},
              {"username", described(text_schema(), "its name, such as ci:${repository}")},
              {"teams", described(words_schema(), "its teams")}},
             json::array{"claims", "username"});
  json::object algorithms = words_schema();
  algorithms["items"] = one_of_schema(auth::signing_algorithms());
  json::object url = text_schema();
  url["pattern"] = "^https://[^?#@ ]+$";
  json::object audiences = words_schema();
  audiences["minItems"] = 1;
  json::object workloads{{"type", "array"}, {"minItems", 1}, {"items", std::move(workload)}};
  json::object item = closed(
      {{"issuer", described(std::move(url), "as the tokens' iss says it")},
       {"audiences", described(std::move(audiences), "one of them must be in aud")},
       {"authorizedParties", described(words_schema(), "azp must be one of them")},
       {"usernameClaim", described(text_schema(), "claim of the user name")},
       {"usernamePrefix", described(text_schema(), "before each user name; none said: <issuer>#")},
       {"groupsClaim", described(text_schema(), "claim of the groups")},
       {"groupsPrefix", described(text_schema(), "before each group")},
       {"requiredClaims", described(conditions_schema(), "what every token must say")},
       {"workloads", described(std::move(workloads), "tokens are machines': which, and their names")},
       {"signingAlgs", described(std::move(algorithms), "signatures that are accepted")},
       {"caFile", described(text_schema(), "PEM file of the authorities that sign the issuer's certificate")},
       {"clientId", described(text_schema(), "the client of `oddjob login`")},
       {"clientSecret",
        described(text_schema(), "of a native client; given to all who log in, so no secret")},
       {"scopes", described(words_schema(), "what `oddjob login` asks for")},
       {"loginParameters",
        described(json::object{{"type", "object"}, {"additionalProperties", text_schema()}},
                  "more for the authorization request, such as access_type: offline")},
       {"clockSkew", described(duration_schema(), "between the clocks, at most 5m")},
       {"keysMaxAge", described(duration_schema(), "how long keys hold while the issuer is down")}},
      json::array{"issuer", "audiences"});
  return {{"type", "array"}, {"items", std::move(item)}};
}

json::object teams_schema() {
  return {{"type", "object"},
          {"additionalProperties",
           closed({{"users", described(words_schema(), "user names")},
                   {"groups", described(words_schema(), "groups of the identity provider")}},
                  json::array{})}};
}

// In the file only; shown as null, since it is not one value.
template <class T>
Value<ServerConfig> read_by(std::vector<T> ServerConfig::*field, json::object schema,
                            Result<std::vector<T>> (*read)(const json::value&)) {
  Value<ServerConfig> out;
  out.set = [field, read](ServerConfig& c, const json::value& v, const Report& report) {
    if (auto got = read(v)) {
      c.*field = std::move(*got);
    } else {
      report("", std::move(got).error());
    }
  };
  out.same = [field](const ServerConfig& a, const ServerConfig& b) { return a.*field == b.*field; };
  out.take = [field](ServerConfig& to, const ServerConfig& from) { to.*field = from.*field; };
  out.get = [](const ServerConfig&) { return json::value(nullptr); };
  out.schema = std::move(schema);
  return out;
}

}  // namespace

Keys identity_keys() {
  using C = ServerConfig;
  return {
      {"auth.oidc", "issuers of OpenID Connect tokens; in the file only",
       read_by(&C::issuers, issuers_schema(), auth::parse_issuers)},
      {"auth.teams", "named teams, each of users and groups; in the file only",
       read_by(&C::teams, teams_schema(), auth::parse_teams), Reload::live},
  };
}

}  // namespace oddjob::server::config
