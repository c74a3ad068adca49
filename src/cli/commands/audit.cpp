// oddjob audit list | export | verify
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>

#include "cli/audit_file.hpp"
#include "cli/audit_words.hpp"
#include "cli/command.hpp"
#include "core/text.hpp"
#include "core/words.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

// `audit verify` found the chain broken: not OddJob's failure, but no success.
constexpr int kBroken = 1;

struct AuditFlags {
  std::string run, actor, type, file;
  CheckpointFiles checkpoint;
  int limit = 100;
};

std::string summary(const json::value& event) {
  const auto* detail = find_object(event, {"detail"});
  if (detail == nullptr) return {};
  std::string out;
  for (const auto* key : {"workload", "state", "exitCode", "code", "reason", "message"}) {
    const auto* v = detail->if_contains(key);
    if (v == nullptr || v->is_null() || (v->is_string() && v->get_string().empty())) continue;
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", key,
                       v->is_string() ? printable(sv(v->get_string()), 80) : json::serialize(*v));
  }
  return printable(out, 160);
}

net::Task<Result<int>> list(ApiClient& api, const Invocation& invocation, const AuditFlags& flags) {
  json::array items;
  std::int64_t before = 0;
  while (static_cast<int>(items.size()) < flags.limit) {
    net::Query q;
    if (!flags.run.empty()) q.add("run", run_id_argument(flags.run));
    if (!flags.actor.empty()) q.add("actor", flags.actor);
    if (!flags.type.empty()) q.add("type", flags.type);
    q.add("order", "newest");
    if (before > 0) q.add("beforeSeq", std::to_string(before));
    q.add("limit", std::to_string(std::min(flags.limit - static_cast<int>(items.size()), 500)));
    OJ_CO_TRY(const auto page, co_await api.call("GET", "/api/v1/audit?" + q.encode()));
    if (const auto* got = find_array(page, {"items"})) items.insert(items.end(), got->begin(), got->end());
    const auto next = get_int(page, {"nextBeforeSeq"});
    if (!next) break;
    before = *next;
  }
  // The last records, in the order in which they happened.
  std::ranges::reverse(items);
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml) {
    print_value(json::object{{"items", std::move(items)}}, format);
    co_return 0;
  }
  if (format == Format::jsonl) {
    for (const auto& e : items) write_out(json::serialize(e) + "\n");
    co_return 0;
  }
  if (!flags.run.empty()) {
    // One run's story, to be read.
    for (const auto& e : items)
      write_out(fmt::format("{}  {} {}.\n", get_string(e, {"time"}).substr(0, 19),
                            printable(get_string(e, {"actor"}), 100), audit_words(e)));
    co_return 0;
  }
  Table table({"SEQ", "TIME", "TYPE", "ACTOR", "RUN", "DETAIL"});
  for (const auto& e : items)
    table.add({std::to_string(get_int(e, {"seq"}).value_or(0)),
               std::string(get_string(e, {"time"})).substr(0, 19) + "Z", std::string(get_string(e, {"type"})),
               printable(get_string(e, {"actor"}), 30), short_run_id(get_string(e, {"run"})), summary(e)});
  write_out(table.text());
  co_return 0;
}

net::Task<Result<int>> export_all(ApiClient& api, const AuditFlags& flags) {
  std::optional<NewFile> file;
  if (!flags.file.empty()) {
    auto made = NewFile::create(flags.file);
    if (!made) co_return fail(std::move(made).error());
    file.emplace(std::move(*made));
  }
  net::Headers headers;
  OJ_CO_TRY(auto stream,
            co_await api.open("/api/v1/audit/export", std::move(headers), std::chrono::seconds(60)));
  ChainReader chain;
  for (;;) {
    OJ_CO_TRY(const auto bytes, co_await stream.read());
    if (bytes.empty()) break;
    OJ_CO_CHECK(chain.feed(bytes));
    if (file) OJ_CO_CHECK(file->write(bytes));
    if (!file && !write_out(bytes)) co_return kOwnFailure;
  }
  OJ_CO_CHECK(chain.finish(true));
  if (file) OJ_CO_CHECK(file->commit());
  co_return 0;
}

std::string held_words(const std::optional<Checkpoint>& c) {
  return c ? fmt::format("It holds what the checkpoint of {} by {} says: record {} has its hash.\n",
                         format_time(c->time), c->origin, c->records)
           : std::string();
}

// What was exported, without asking any server.
Result<int> verify_file(const Invocation& invocation, const std::string& path, const CheckpointFiles& files) {
  OJ_TRY(const auto checkpoint, read_checkpoint(files));
  std::ifstream in(path == "-" ? "/dev/stdin" : path, std::ios::binary);
  if (!in) return fail(Errc::invalid_argument, "cli.file_unreadable", fmt::format("cannot read {}", path));
  ChainReader chain;
  if (checkpoint) chain.remember(checkpoint->records);
  Result<> checked;
  std::vector<char> piece(64U << 10U);
  while (checked && (in.read(piece.data(), static_cast<std::streamsize>(piece.size())), in.gcount() > 0))
    checked = chain.feed({piece.data(), static_cast<std::size_t>(in.gcount())});
  if (checked) checked = chain.finish(false);
  const bool whole = checked.has_value();
  if (checked && checkpoint) checked = hold_to(*checkpoint, chain.hash_at());
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml) {
    json::object verdict{{"ok", checked.has_value()}, {"events", chain.records()}, {"head", chain.head()}};
    if (!checked) {
      verdict["badSeq"] = whole ? checkpoint->records : chain.records() + 1;
      verdict["problem"] = checked.error().message;
    }
    print_value(verdict, format);
  } else if (checked) {
    write_out(fmt::format("The audit is whole: {} records, head {}\n{}", chain.records(), chain.head(),
                          held_words(checkpoint)));
  } else {
    write_err(fmt::format("The audit is BROKEN: {}\n", printable(checked.error().message, 500)));
  }
  return checked ? 0 : kBroken;
}

net::Task<Result<int>> verify(ApiClient& api, const Invocation& invocation, const CheckpointFiles& files) {
  OJ_CO_TRY(const auto checkpoint, read_checkpoint(files));
  OJ_CO_TRY(auto verdict, co_await api.call("GET", "/api/v1/audit/verify"));
  if (checkpoint && checkpoint->records > 0 && get_bool(verdict, {"ok"})) {
    const auto path = fmt::format("/api/v1/audit?afterSeq={}&limit=1", checkpoint->records - 1);
    OJ_CO_TRY(const auto page, co_await api.call("GET", path));
    const auto* items = find_array(page, {"items"});
    const auto hash =
        items == nullptr || items->empty() ? std::string_view() : get_string(items->front(), {"hash"});
    if (const auto held = hold_to(*checkpoint, hash); !held) {
      verdict.get_object()["ok"] = false;
      verdict.get_object()["badSeq"] = checkpoint->records;
      verdict.get_object()["problem"] = held.error().message;
    }
  }
  const bool ok = get_bool(verdict, {"ok"});
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml) {
    print_value(verdict, format);
  } else if (ok) {
    write_out(fmt::format("The audit is whole: {} records, head {}\n{}",
                          get_int(verdict, {"events"}).value_or(0), get_string(verdict, {"head"}),
                          held_words(checkpoint)));
  } else {
    write_err(fmt::format("The audit is BROKEN at record {}: {}\n", get_int(verdict, {"badSeq"}).value_or(0),
                          printable(get_string(verdict, {"problem"}), 500)));
  }
  co_return ok ? 0 : kBroken;
}

net::Task<Result<int>> print_checkpoint(ApiClient& api) {
  OJ_CO_TRY(const auto answer, co_await api.fetch("GET", "/api/v1/audit/checkpoint"));
  write_out(answer.body);
  co_return 0;
}

}  // namespace

void add_audit(CLI::App& app, Invocation& invocation) {
  auto* audit = app.add_subcommand("audit", "Read and check the record of who ran what")
                    ->fallthrough()
                    ->require_subcommand(1);
  auto flags = std::make_shared<AuditFlags>();
  const auto action = [&invocation, flags](auto work) {
    return [&invocation, flags, work] {
      invocation.action = [flags, work](Invocation& i) {
        return with_server(
            i, [&i, flags, work](net::Loop& /*loop*/, ApiClient& api, const Settings& /*settings*/) {
              return work(api, i, *flags);
            });
      };
    };
  };
  auto* listing =
      audit->add_subcommand("list", "List the last records, the newest at the end")->fallthrough();
  listing->add_option("--run", flags->run, "The story of this run, in words");
  listing->add_option("--actor", flags->actor, "Only by this user");
  listing->add_option("--type", flags->type, "Only of this type, such as run.refused");
  listing->add_option("--limit", flags->limit, "The last so many (default 100)")
      ->check(CLI::Range(1, 1000000));
  listing->callback(
      action([](ApiClient& api, const Invocation& i, const AuditFlags& f) { return list(api, i, f); }));
  auto* exporting = audit->add_subcommand("export", "Write the whole chain as JSON lines")->fallthrough();
  exporting->add_option("file", flags->file, "Where to (default: standard output)");
  exporting->callback(action(
      [](ApiClient& api, const Invocation& /*i*/, const AuditFlags& f) { return export_all(api, f); }));
  auto* marking =
      audit->add_subcommand("checkpoint", "Print the server's signed word on what the chain is now")
          ->fallthrough();
  marking->callback(action([](ApiClient& api, const Invocation& /*i*/, const AuditFlags& /*f*/) {
    return print_checkpoint(api);
  }));
  auto* verifying =
      audit
          ->add_subcommand("verify",
                           "Check that no record was altered, removed or reordered; exit 1 if one was")
          ->fallthrough();
  verifying->add_option("file", flags->file,
                        "An exported chain to check instead of the server's (- is standard input)");
  verifying->add_option("--checkpoint", flags->checkpoint.note,
                        "A checkpoint kept from earlier, which the chain must still hold");
  verifying->add_option("--public-key", flags->checkpoint.public_key, "The key that signed it (PEM)");
  verifying->callback(
      [&invocation, flags, ask = action([](ApiClient& api, const Invocation& i, const AuditFlags& f) {
                             return verify(api, i, f.checkpoint);
                           })] {
        if (flags->file.empty()) return ask();
        invocation.action = [flags](Invocation& i) {
          const auto code = verify_file(i, flags->file, flags->checkpoint);
          if (code) return *code;
          print_error(code.error());
          return kOwnFailure;
        };
      });
}

}  // namespace oddjob::cli
