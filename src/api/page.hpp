// One page of a list that the engine gives whole. Pure.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/parameters.hpp"
#include "core/json.hpp"

namespace oddjob::api {

// {"items", "nextCursor"?}: at most `limit` of `all` whose key comes behind `after`, sorted by key.
// `key` gives a unique text of an element, `item` its JSON form; `cursor_kind` as in make_cursor().
template <class T, class Key, class Item>
json::object page_of(std::vector<T> all, std::string_view after, std::int64_t limit,
                     std::string_view cursor_kind, Key key, Item item) {
  std::ranges::sort(all, {}, key);
  json::object body;
  json::array items;
  auto it = std::ranges::upper_bound(all, std::string(after), {}, key);
  for (; it != all.end() && std::cmp_less(items.size(), limit); ++it) items.push_back(item(*it));
  if (it != all.end()) body["nextCursor"] = make_cursor(cursor_kind, key(*std::prev(it)));
  body["items"] = std::move(items);
  return body;
}

}  // namespace oddjob::api
