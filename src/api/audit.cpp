// The audit: list, export, verify.
#include <spdlog/spdlog.h>

#include "api/answers.hpp"
#include "api/exchange.hpp"
#include "api/parameters.hpp"
#include "audit/exporter.hpp"
#include "core/audit.hpp"

namespace oddjob::api {
namespace {

constexpr std::int64_t kPage = 50, kMaxPage = 500;
constexpr int kExportPage = 200;
constexpr std::int64_t kMaxSeq = std::int64_t{1} << 53;

bool sees_all(const Subject& s) { return s.admin || s.auditor; }

Result<> must_see_all(const Subject& s) {
  if (sees_all(s)) return {};
  return fail(Errc::forbidden, "api.audit_forbidden", "the audit is for auditors and admins",
              "ask for one run that you may see: ?run=ID");
}

Result<bool> newest_first(const net::Query& q) {
  const auto order = q.get("order");
  if (order.empty() || order == "oldest") return false;
  if (order == "newest") return true;
  return fail(Errc::invalid_argument, "api.bad_parameter", "the parameter order is oldest or newest");
}

net::Task<Result<std::vector<AuditEvent>>> read(Services& s, store::AuditFilter filter, int limit) {
  auto work = [&s, &filter, limit] { return s.store.list_audit(filter, limit); };
  co_return co_await s.db.offload(work);
}

}  // namespace

net::Task<Answer> list_audit(Exchange& x) {
  const auto& q = x.request.query;
  OJ_CO_CHECK(check_query(q, {"run", "actor", "type", "order", "afterSeq", "beforeSeq", "limit"}));
  OJ_CO_TRY(const auto limit, number(q, "limit", kPage, 1, kMaxPage));
  store::AuditFilter filter;
  OJ_CO_TRY(filter.after_seq, number(q, "afterSeq", 0, 0, kMaxSeq));
  OJ_CO_TRY(filter.before_seq, number(q, "beforeSeq", 0, 0, kMaxSeq));
  OJ_CO_TRY(filter.newest_first, newest_first(q));
  filter.run_id = q.get("run");
  filter.actor = q.get("actor");
  filter.type = q.get("type");
  const bool all = sees_all(x.caller.subject);
  if (filter.run_id.empty()) {
    OJ_CO_CHECK(must_see_all(x.caller.subject));
  } else if (!all || !is_run_id(filter.run_id)) {
    // Also turns a short id into the full one. A full id need not be of a run
    // for those who see everything: a refused request has records and no run.
    OJ_CO_TRY(const auto run, co_await x.services.engine.get(x.caller, filter.run_id));
    filter.run_id = run.id;
  }
  // One more than asked for says whether there is a next page.
  OJ_CO_TRY(auto events, co_await read(x.services, filter, static_cast<int>(limit) + 1));
  json::object body;
  json::array items;
  const bool more = std::cmp_greater(events.size(), limit);
  if (more) events.resize(static_cast<std::size_t>(limit));
  for (const auto& e : events) items.push_back(to_json(e));
  body["items"] = std::move(items);
  if (more) body[filter.newest_first ? "nextBeforeSeq" : "nextAfterSeq"] = events.back().seq;
  co_return json_response(200, body);
}

// Streams a page at a time. The export is itself a record, written before the
// first byte, and so the last one of what it exports, or near it.
net::Task<Answer> export_audit(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  OJ_CO_CHECK(must_see_all(x.caller.subject));
  AuditEvent note;
  note.type = "audit.exported";
  note.actor = x.caller.subject.user;
  note.detail = {{"from", x.caller.from}, {"channel", x.caller.channel}};
  auto append = [&x, &note] { return x.services.store.append_audit(note); };
  OJ_CO_TRY(const auto recorded, co_await x.services.db.offload_together(append));

  store::AuditFilter filter;
  OJ_CO_TRY(auto page, co_await read(x.services, filter, kExportPage));
  net::Headers headers;
  headers.set("Content-Type", "application/x-ndjson");
  headers.set("Content-Disposition", "attachment; filename=\"oddjob-audit.ndjson\"");
  add_security_headers(headers);
  x.status = 200;
  if (!co_await x.out.begin(200, std::move(headers))) co_return std::nullopt;
  while (!page.empty()) {
    std::string lines;
    for (const auto& e : page) {
      if (e.seq > recorded.seq) break;
      lines += json::serialize(to_json(e));
      lines += '\n';
    }
    if (!lines.empty() && !co_await x.out.write(lines)) co_return std::nullopt;
    filter.after_seq = page.back().seq;
    if (filter.after_seq >= recorded.seq) break;
    auto next = co_await read(x.services, filter, kExportPage);
    if (!next) {
      // The client must not take half a chain for the whole.
      spdlog::error("audit export cut after record {}: {}", filter.after_seq, next.error().message);
      x.out.abort();
      co_return std::nullopt;
    }
    page = std::move(*next);
  }
  co_return std::nullopt;
}

net::Task<Answer> verify_audit(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  OJ_CO_CHECK(must_see_all(x.caller.subject));
  auto& reader = x.services.audit_reader;
  if (!reader) reader.emplace(1U);
  auto work = [&x] { return x.services.store.verify_audit(); };
  OJ_CO_TRY(const auto v, co_await reader->offload(work));
  json::object body{{"ok", v.ok}, {"events", v.events}, {"head", v.head}};
  if (!v.ok) {
    body["badSeq"] = v.bad_seq;
    body["problem"] = v.problem;
  }
  co_return json_response(200, body);
}

// Says what the whole audit is now, so that a copy made later can be held to it.
net::Task<Answer> audit_checkpoint(Exchange& x) {
  OJ_CO_CHECK(check_query(x.request.query, {}));
  OJ_CO_CHECK(must_see_all(x.caller.subject));
  const auto* signer = x.services.options.checkpoint_signer;
  if (signer == nullptr)
    co_return fail(Errc::not_found, "audit.no_checkpoints", "this server signs no checkpoints of its audit",
                   "it needs audit.checkpointKeyFile in its configuration");
  auto sign = [&x, signer] {
    return audit::signed_checkpoint(x.services.store, *signer, std::nullopt, system_clock().now());
  };
  OJ_CO_TRY(auto note, co_await x.services.db.offload(sign));
  co_return text_response(200, std::move(note));
}

}  // namespace oddjob::api
