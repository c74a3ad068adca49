// Internal to devcluster/api: one request, taken apart, and the ways to answer it.
#pragma once

#include <string>
#include <vector>

#include "devcluster/api/server.hpp"

namespace oddjob::devcluster {

struct ApiServer::Target {
  const ResourceInfo* resource = nullptr;  // null: a review, or nothing we have
  std::string group, version, plural, name_space, name, subresource;
};

struct ApiServer::Exchange {
  const net::ServerRequest& request;
  net::ResponseWriter& out;
  Target target;
  User user;
  std::string verb;
  std::vector<std::string> warnings;  // go into Warning headers of the answer

  // How the answer shall look (Accept).
  enum class Form { object, table, metadata };
  [[nodiscard]] Form form() const;
  [[nodiscard]] WriteContext write_context() const;
  // The body as JSON, from JSON, YAML or protobuf. Error "BadRequest".
  [[nodiscard]] Result<json::value> body() const;
  // Takes unknown fields out of an object of a built-in kind; they are warned of, or
  // an error, as the query's fieldValidation says. A value of a wrong type is an error.
  Result<> check_fields(json::value& object);

  net::Task<> answer(int status, const json::value& body);
  net::Task<> answer(const Error& e);
  // One object in the form asked for.
  net::Task<> answer_object(int status, const json::value& object, Registry& registry);
};

// The 404 for the object of this request.
Error no_such_object(const ApiServer::Target& t);
// The 404 for a path that is none.
Error no_such_path();

// Splits a path below /api or /apis; nullopt where it is no resource path.
std::optional<ApiServer::Target> parse_target(const Registry& registry, std::string_view path);
// The CRD of a custom resource, or nullptr.
std::shared_ptr<const json::value> crd_of(Registry& registry, const ResourceInfo& r);

}  // namespace oddjob::devcluster
