// What the built-in kinds are made of: for protobuf bodies (kubectl 1.32 and newer
// sends them), for unknown and ill-typed fields, and for `kubectl explain`. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"

namespace oddjob::devcluster {

struct SchemaType;

struct SchemaField {
  std::string_view name;
  int number = 0;
  std::string_view scalar;  // "s", "i", …; empty where `type` says what it is
  const SchemaType* type = nullptr;
  bool list = false, map = false, keep_zero = false;
};

struct SchemaType {
  std::string_view name;
  std::vector<SchemaField> fields;  // inlined ones included
  [[nodiscard]] const SchemaField* find(std::string_view field) const noexcept;
  [[nodiscard]] bool is_object() const noexcept { return find("metadata") != nullptr; }
};

// nullptr: not a built-in kind, nor a part of one.
const SchemaType* find_schema(std::string_view name);

// The object in a body of type application/vnd.kubernetes.protobuf, as JSON with
// its apiVersion and kind. Error "BadRequest"; a field that is not known is one,
// so that nothing is lost unsaid.
Result<json::value> from_protobuf(std::string_view body);

// Takes the fields that `type` lacks out of `object` and gives their paths
// ("spec.replicaz"). Error "BadRequest" at the first value of a wrong type.
Result<std::vector<std::string>> prune(const SchemaType& type, json::value& object);

// OpenAPI v3 schemas of these types and all they refer to, by name.
json::object openapi_schemas(std::span<const SchemaType* const> roots);

}  // namespace oddjob::devcluster
