// The last look: does anything of the namespace take the run's pod for one of
// its own? A Service would send it requests, a budget would count it.
#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "render/rules/rules.hpp"
#include "render/selector.hpp"

namespace oddjob::render::rules_of {
namespace {

struct Labels {
  json::object all;
  json::object without_kept;
};

// `matches` is asked twice: a match that hangs on labels that were kept is on
// purpose, and only said.
template <class Matches>
Result<> check(Context& c, const Labels& labels, const std::string& what, std::string_view effect,
               Matches matches) {
  if (!matches(labels.all)) return {};
  if (!matches(labels.without_kept)) {
    c.warn(fmt::format("{} selects the run's pod by labels that are kept: {}", what, effect));
    return {};
  }
  return fail(Errc::failed_precondition, "render.collision",
              fmt::format("{} would select the run's pod of {}: {}", what, to_string(c.ref), effect),
              "narrow its selector, so that it doesn't match pods of OddJob");
}

std::string name_of(const json::value& object, std::string_view kind) {
  return fmt::format("{} \"{}\"", kind, printable(get_string(object, {"metadata", "name"}), 253));
}

// Facts may hold more than the namespace; an object without one is taken as of it.
bool of_namespace(const json::value& object, const Context& c) {
  const std::string_view where = get_string(object, {"metadata", "namespace"});
  return where.empty() || c.ref.name_space.empty() || where == c.ref.name_space;
}

}  // namespace

Result<> collisions(Context& c) {
  Labels labels{c.labels, c.labels};
  for (const std::string& key : c.kept_labels) labels.without_kept.erase(key);

  for (const json::value& service : c.facts.services) {
    if (!of_namespace(service, c) || get_string(service, {"spec", "type"}) == "ExternalName") continue;
    const json::value* selector = find(service, {"spec", "selector"});
    OJ_CHECK(check(c, labels, name_of(service, "Service"), "it would send requests to it",
                   [&](const json::object& l) { return service_selector_matches(selector, l); }));
  }
  for (const json::value& budget : c.facts.disruption_budgets) {
    if (!of_namespace(budget, c)) continue;
    const json::value* selector = find(budget, {"spec", "selector"});
    OJ_CHECK(check(c, labels, name_of(budget, "PodDisruptionBudget"),
                   "it would count it among the pods it guards",
                   [&](const json::object& l) { return selector_matches(selector, l); }));
  }
  if (c.ref.kind != WorkloadKind::cron_job) {
    const json::value* selector = find(c.workload, {"spec", "selector"});
    OJ_CHECK(check(c, labels, fmt::format("{} itself", to_string(c.ref)), "its autoscaler would count it",
                   [&](const json::object& l) { return selector_matches(selector, l); }));
  }
  return {};
}

}  // namespace oddjob::render::rules_of
