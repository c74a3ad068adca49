// The table of routes, all of them: method, path, handler, who may call.
// test/unit/api holds it and openapi.json to each other.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/exchange.hpp"

namespace oddjob::api {

enum class Access {
  open,      // no identity asked for
  identity,  // any authenticated subject; the handler asks for more
};
enum class Kind {
  plain,
  probe,   // asked every few seconds by machines: successes are not logged
  stream,  // lasts as long as the client likes: its duration says nothing
};

struct Route {
  std::string_view method;
  std::string_view pattern;  // "/api/v1/runs/{id}": a {name} takes one segment
  Handler handler;
  Access access = Access::identity;
  Kind kind = Kind::plain;
};

std::span<const Route> routes();

struct Match {
  const Route* route = nullptr;           // null: no such path, or not this method
  std::string parameter;                  // what {name} took; several are joined by '/'
  std::vector<std::string_view> allowed;  // methods of this path; empty: no such path
};
Match match(std::string_view method, std::string_view path);

}  // namespace oddjob::api
