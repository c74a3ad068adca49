// The files of a workload's image, and how far their index is.
#include <algorithm>

#include "api/answers.hpp"
#include "api/exchange.hpp"
#include "api/parameters.hpp"
#include "core/digest.hpp"
#include "core/text.hpp"
#include "image/service/words.hpp"

namespace oddjob::api {
namespace {

constexpr std::int64_t kMaxItems = 1000, kMaxWait = 60, kMaxPage = 200;
constexpr std::string_view kCursorKind = "i1";

struct Asked {
  runs::ContainerImage image;
  image::Wanted wanted;
};

Error no_images() {
  return {Errc::unsupported, "files.off", "this server keeps no index of images",
          "images.enabled is false in its configuration", 0};
}

// The image that the caller asks about; who may not run there gets no further.
net::Task<Result<Asked>> asked(Exchange& x) {
  const auto& q = x.request.query;
  if (x.services.options.images == nullptr) co_return fail(no_images());
  OJ_CO_TRY(auto ns, name_space(q));
  if (ns.empty()) ns = "default";
  OJ_CO_TRY(auto ref, parse_workload(q.get("workload"), ns));
  Asked out;
  auto reading = x.services.options.workload_images->read_for(x.caller.subject, std::move(ref),
                                                              std::string(q.get("container")));
  OJ_CO_TRY(out.image, co_await std::move(reading));
  OJ_CO_TRY(out.wanted.image, image::parse_reference(out.image.image));
  if (!out.image.architecture.empty())
    out.wanted.platform =
        image::Platform{out.image.os.empty() ? "linux" : out.image.os, out.image.architecture, ""};
  co_return out;
}

json::object status_json(const image::Status& s) {
  json::object o{{"image", s.image}, {"platform", s.platform}, {"state", image::to_string(s.state)}};
  if (!s.digest.empty()) o["digest"] = s.digest;
  if (s.state == image::IndexState::indexing || s.state == image::IndexState::queued) {
    o["progress"] = json::object{{"bytesDone", s.bytes_done},
                                 {"bytesTotal", s.bytes_total},
                                 {"layersDone", s.layers_done},
                                 {"layers", s.layers}};
  }
  if (s.state == image::IndexState::ready)
    o["index"] = json::object{{"paths", s.index.paths}, {"bytes", s.index.bytes}};
  if (s.foreign_layers > 0) o["foreignLayers"] = s.foreign_layers;
  if (s.error)
    o["error"] = json::object{
        {"code", s.error->code}, {"message", to_valid_utf8(s.error->message)}, {"hint", s.error->hint}};
  return o;
}

json::object with_workload(json::object o, const runs::ContainerImage& i) {
  o["namespace"] = i.workload.name_space;
  o["workload"] = to_string(i.workload);
  o["container"] = i.container;
  return o;
}

// Credentials are read only when there is something to pull.
net::Task<Result<image::IndexPtr>> index_of(Exchange& x, Asked& a, Duration patience) {
  auto& service = *x.services.options.images;
  auto finding = service.find(a.wanted);
  if (auto index = co_await std::move(finding)) co_return index;
  auto reading = x.services.options.workload_images->pull_secrets(a.image);
  for (const auto& text : co_await std::move(reading))
    if (auto config = image::parse_docker_config(text, "an imagePullSecret"))
      a.wanted.pull_secrets.push_back(std::move(*config));
  auto getting = service.get(a.wanted, patience);
  co_return co_await std::move(getting);
}

// Not in the way of who only may not wait any longer: audited before it is told.
net::Task<Result<>> audit(Exchange& x, const Asked& a, std::string_view mode, std::string_view prefix) {
  if (!a.image.audit) co_return Result<>{};
  AuditEvent e;
  e.type = "files.listed";
  e.actor = x.caller.subject.user;
  e.detail = json::object{{"namespace", a.image.workload.name_space},
                          {"workload", to_string(a.image.workload)},
                          {"container", a.image.container},
                          {"image", a.image.image},
                          {"mode", mode},
                          {"prefix", printable(prefix, 1024)},
                          {"channel", x.caller.channel},
                          {"from", x.caller.from}};
  auto write = [&x, &e] { return x.services.store.append_audit(e); };
  const auto written = co_await x.services.db.offload_together(write);
  if (!written) co_return std::unexpected(written.error());
  co_return Result<>{};
}

json::object item(std::string_view text, bool directory, bool executable) {
  json::object o{{"text", to_valid_utf8(text)}};
  if (directory) o["directory"] = true;
  if (executable) o["executable"] = true;
  return o;
}

// The same question about the same image has the same answer, so the tag is of the answer.
net::ServerResponse tagged(const net::ServerRequest& request, const json::object& body) {
  auto r = json_response(200, body);
  const std::string tag = "\"" + sha256_hex(r.body).substr(0, 32) + "\"";
  const auto known = request.headers.get("If-None-Match");
  if (known == "*" || known.find(tag) != std::string_view::npos) {
    r.status = 304;
    r.body.clear();
  }
  r.headers.set("ETag", tag);
  r.headers.set("Cache-Control", "private, no-cache");
  return r;
}

}  // namespace

net::Task<Answer> list_files(Exchange& x) {
  const auto& q = x.request.query;
  OJ_CO_CHECK(check_query(
      q, {"namespace", "workload", "container", "word", "prefix", "mode", "after", "limit", "wait"},
      {"word"}));
  OJ_CO_TRY(const auto limit, number(q, "limit", 100, 1, kMaxItems));
  OJ_CO_TRY(const auto wait, number(q, "wait", 0, 0, kMaxWait));
  const std::string mode(q.has("mode") ? q.get("mode") : "complete");
  if (mode != "complete" && mode != "search" && mode != "list") {
    co_return fail(Errc::invalid_argument, "api.bad_parameter",
                   "the parameter mode is '" + printable(mode, 60) + "', expected complete, search or list");
  }
  if (!q.has("workload"))
    co_return fail(Errc::invalid_argument, "api.bad_parameter", "the parameter workload is missing");
  auto asking = asked(x);
  OJ_CO_TRY(auto a, co_await std::move(asking));
  auto indexing = index_of(x, a, std::chrono::seconds(wait));
  OJ_CO_TRY(const auto index, co_await std::move(indexing));
  if (!index) {
    auto r =
        json_response(202, with_workload(status_json(x.services.options.images->status(a.wanted)), a.image));
    r.headers.set("Retry-After", "1");
    co_return r;
  }
  image::Surroundings around;
  around.working_dir = a.image.working_dir;
  around.path = a.image.path;
  around.mounts = a.image.mounts;
  std::vector<std::string> words;
  for (const auto& [name, value] : q)
    if (name == "word") words.push_back(value);
  const std::string prefix(q.get("prefix"));
  const auto many = static_cast<std::size_t>(limit);
  json::object body = with_workload({}, a.image);
  body["state"] = "ready";
  body["image"] = a.image.image;
  body["digest"] = index->facts().digest;
  body["workingDir"] =
      image::absolute_path("/", around.working_dir.empty() ? index->facts().working_dir : around.working_dir);
  json::array items;
  if (mode == "complete") {
    const auto found = image::complete_words(*index, around, words, prefix, many);
    for (const auto& c : found.candidates) items.push_back(item(c.text, c.is_dir, c.executable));
    body["more"] = found.more;
  } else if (mode == "search") {
    const auto found = image::search(*index, around, prefix, many);
    for (const auto& m : found) {
      auto o = item(m.path, m.is_dir, m.executable);
      o["positions"] = json::array(m.positions.begin(), m.positions.end());
      items.push_back(std::move(o));
    }
    body["more"] = found.size() >= many;
  } else {
    const auto found =
        image::list_directory(*index, around, prefix.empty() ? "." : prefix, q.get("after"), many);
    if (!found) co_return std::unexpected(found.error());
    for (const auto& e : found->entries) {
      auto o = item(e.name, e.is_dir, e.executable);
      o["mode"] = e.mode;
      o["uid"] = e.uid;
      o["gid"] = e.gid;
      o["size"] = e.size;
      if (!e.link.empty()) o["link"] = to_valid_utf8(e.link);
      items.push_back(std::move(o));
    }
    body["more"] = found->more;
  }
  body["items"] = std::move(items);
  auto auditing = audit(x, a, mode, prefix);
  OJ_CO_CHECK(co_await std::move(auditing));
  co_return tagged(x.request, body);
}

net::Task<Answer> list_images(Exchange& x) {
  const auto& q = x.request.query;
  OJ_CO_CHECK(check_query(q, {"namespace", "workload", "container", "limit", "cursor"}));
  if (x.services.options.images == nullptr) co_return fail(no_images());
  json::object body;
  json::array items;
  if (q.has("workload")) {
    auto asking = asked(x);
    OJ_CO_TRY(const auto a, co_await std::move(asking));
    auto finding = x.services.options.images->find(a.wanted);
    (void)co_await std::move(finding);  // one of an earlier process is known afterwards
    items.push_back(with_workload(status_json(x.services.options.images->status(a.wanted)), a.image));
    body["items"] = std::move(items);
    co_return json_response(200, body);
  }
  OJ_CO_TRY(auto ns, name_space(q));
  OJ_CO_TRY(const auto limit, number(q, "limit", 50, 1, kMaxPage));
  OJ_CO_TRY(const auto after, start_after(q, kCursorKind));
  OJ_CO_TRY(auto all, co_await x.services.engine.workloads(x.caller, std::move(ns)));
  std::erase_if(all, [](const runs::WorkloadInfo& w) { return !w.may_run; });
  const auto key = [](const runs::WorkloadInfo& w) { return w.ref.name_space + "/" + to_string(w.ref); };
  std::ranges::sort(all, {}, key);
  auto it = std::ranges::upper_bound(all, after, {}, key);
  for (; it != all.end() && std::cmp_less(items.size(), limit); ++it) {
    auto reading = x.services.options.workload_images->read(it->ref, {});
    const auto found = co_await std::move(reading);
    const auto reference = found ? image::parse_reference(found->image)
                                 : Result<image::Reference>(std::unexpected(found.error()));
    if (!reference) {
      items.push_back(json::object{{"namespace", it->ref.name_space},
                                   {"workload", to_string(it->ref)},
                                   {"state", "failed"},
                                   {"error",
                                    {{"code", reference.error().code},
                                     {"message", to_valid_utf8(reference.error().message)},
                                     {"hint", reference.error().hint}}}});
      continue;
    }
    image::Wanted wanted;
    wanted.image = *reference;
    if (!found->architecture.empty())
      wanted.platform = image::Platform{found->os.empty() ? "linux" : found->os, found->architecture, ""};
    auto finding = x.services.options.images->find(wanted);
    (void)co_await std::move(finding);
    items.push_back(with_workload(status_json(x.services.options.images->status(wanted)), *found));
  }
  if (it != all.end()) body["nextCursor"] = make_cursor(kCursorKind, key(*std::prev(it)));
  body["items"] = std::move(items);
  co_return json_response(200, body);
}

}  // namespace oddjob::api
