#include "support.hpp"

#include <fstream>
#include <sstream>

#include "core/text.hpp"

namespace oddjob::render::test {
namespace {

const std::filesystem::path kExamples = std::filesystem::path(ODDJOB_SOURCE_DIR) / "examples" / "workloads";

void merge(json::value& into, const json::value& from) {
  for (const auto& [key, value] : from.as_object()) {
    json::value& target = into.as_object()[key];
    if (value.is_object() && target.is_object()) {
      merge(target, value);
    } else {
      target = value;
    }
  }
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::filesystem::path> example_files() {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(kExamples)) {
    if (entry.path().extension() == ".yaml") out.push_back(entry.path());
  }
  std::ranges::sort(out);
  return out;
}

json::value example(std::string_view file_name) { return workload_in(kExamples / file_name); }

json::value deployment(std::string_view pod, std::string_view metadata) {
  json::value w = yaml(R"(
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
        - {name: app, image: "registry.example.com/api:v1", command: [serve], args: [--all]}
)");
  merge(*find(w, {"spec", "template", "spec"}), yaml(pod));
  merge(*find(w, {"spec", "template", "metadata"}), yaml(metadata));
  return w;
}

Asked::Asked() {
  request.workload = {WorkloadKind::deployment, "shop", "api"};
  request.command = {"echo", "hello"};
}

Rendered Asked::must() const {
  auto rendered = run();
  EXPECT_TRUE(rendered) << (rendered ? "" : rendered.error().code + ": " + rendered.error().message);
  return rendered ? std::move(*rendered) : Rendered{};
}

std::string Asked::code() const {
  const auto rendered = run();
  return rendered ? "ok" : rendered.error().code;
}

json::value at(const json::value& v, std::string_view path) {
  const json::value* here = &v;
  for (const std::string& step : split(path, '.')) {
    if (const json::object* object = here->if_object()) {
      here = object->if_contains(step);
    } else if (const json::array* array = here->if_array()) {
      here = array->if_contains(std::stoul(step));
    } else {
      return nullptr;
    }
    if (here == nullptr) return nullptr;
  }
  return *here;
}

const Change* change_at(const Rendered& r, std::string_view path) {
  const auto found = std::ranges::find(r.changes, path, &Change::path);
  return found == r.changes.end() ? nullptr : &*found;
}

bool warns(const Rendered& r, std::string_view words) {
  return std::ranges::any_of(r.warnings,
                             [&](const std::string& w) { return w.find(words) != std::string::npos; });
}

}  // namespace oddjob::render::test
