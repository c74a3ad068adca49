// oddjob image ls, status, files: the index that completion goes by.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/command.hpp"
#include "core/text.hpp"
#include "core/words.hpp"
#include "net/http.hpp"

namespace oddjob::cli {
namespace {

struct ImageFlags {
  std::string workload, directory, container, search;
  bool all_namespaces = false, no_wait = false;
};

std::string in_units(std::int64_t bytes) {
  double n = static_cast<double>(bytes);
  for (const char* unit : {"B", "KiB", "MiB"}) {
    if (n < 1024) return fmt::format("{:.{}f} {}", n, n < 10 && *unit != 'B' ? 1 : 0, unit);
    n /= 1024;
  }
  return fmt::format("{:.1f} GiB", n);
}

// "indexing the image [######----] 61% of 210 MiB, 3 of 5 layers"
std::string bar(const json::value& status) {
  const auto at = [&](std::string_view key) { return get_int(status, {"progress", key}).value_or(0); };
  const auto done = at("bytesDone"), total = at("bytesTotal");
  if (get_string(status, {"state"}) == "queued") return "waiting for other images to be indexed";
  if (total <= 0) return "asking the registry for the image";
  constexpr int kWidth = 16;  // the whole line fits 80 columns
  const auto share = static_cast<double>(std::min(done, total)) / static_cast<double>(total);
  const int full = static_cast<int>(share * kWidth);
  return fmt::format("indexing the image [{}{}] {:.0f}% of {}, {} of {} layers",
                     std::string(static_cast<std::size_t>(full), '#'),
                     std::string(static_cast<std::size_t>(kWidth - full), '-'), share * 100, in_units(total),
                     at("layersDone"), at("layers"));
}

Result<net::Query> question(const ImageFlags& flags, const Settings& settings) {
  OJ_TRY(const auto ref,
         parse_workload(flags.workload, settings.name_space.empty() ? "default" : settings.name_space));
  net::Query q;
  q.add("namespace", ref.name_space);
  q.add("workload", to_string(ref));
  if (!flags.container.empty()) q.add("container", flags.container);
  return q;
}

// An answer of /files once the image is indexed, with a bar until then.
net::Task<Result<json::value>> files_page(ApiClient& api, const Invocation& invocation,
                                          const ImageFlags& flags, net::Query q) {
  StatusLine line(invocation.terminal);
  // The first look does not wait, so that a bar is seen at once.
  const std::string target = "/api/v1/files?" + q.encode();
  auto page = co_await api.call("GET", target);
  while (page && get_string(*page, {"state"}) != "ready" && !flags.no_wait) {
    line.tick();
    if (!invocation.quiet) line.show(bar(*page));
    page = co_await api.call("GET", target + "&wait=1");
  }
  line.clear();
  co_return page;
}

std::string mode_text(const json::value& e) {
  const auto mode = get_int(e, {"mode"}).value_or(0);
  std::string out(1, get_string(e, {"link"}).empty() ? get_bool(e, {"directory"}) ? 'd' : '-' : 'l');
  for (int shift = 6; shift >= 0; shift -= 3) {
    const auto bits = mode >> shift;
    out += (bits & 4) != 0 ? 'r' : '-';
    out += (bits & 2) != 0 ? 'w' : '-';
    out += (bits & 1) != 0 ? 'x' : '-';
  }
  return out;
}

void print_items(const json::array& items, bool search, Format format) {
  Table table({"MODE", "OWNER", "SIZE", "NAME"});
  for (const auto& e : items) {
    auto name = printable(get_string(e, {"text"}), 4096);
    if (format == Format::wide && !search) {
      if (const auto link = get_string(e, {"link"}); !link.empty()) name += " -> " + printable(link, 4096);
      table.add({mode_text(e),
                 fmt::format("{}:{}", get_int(e, {"uid"}).value_or(0), get_int(e, {"gid"}).value_or(0)),
                 std::to_string(get_int(e, {"size"}).value_or(0)), name});
      continue;
    }
    if (get_bool(e, {"directory"}) && !name.ends_with('/')) name += "/";
    write_out(name + "\n");
  }
  if (format == Format::wide && !search) write_out(table.text());
}

net::Task<Result<int>> files(ApiClient& api, const Invocation& invocation, const Settings& settings,
                             ImageFlags flags) {
  OJ_CO_TRY(auto q, question(flags, settings));
  const bool search = !flags.search.empty();
  q.add("mode", search ? "search" : "list");
  q.add("prefix", search ? flags.search : flags.directory);
  q.add("limit", search ? "50" : "1000");
  const auto format = invocation.format();
  json::array all;
  std::string after;
  for (;;) {
    auto page_query = q;
    if (!after.empty()) page_query.add("after", after);
    OJ_CO_TRY(const auto page, co_await files_page(api, invocation, flags, page_query));
    if (get_string(page, {"state"}) != "ready") {
      write_err(fmt::format("The image is not indexed yet: {}\n", bar(page)));
      co_return kOwnFailure;
    }
    const auto* items = find_array(page, {"items"});
    if (format == Format::json || format == Format::yaml) {
      if (items != nullptr) all.insert(all.end(), items->begin(), items->end());
    } else if (items != nullptr) {
      print_items(*items, search, format);
    }
    if (search || items == nullptr || items->empty() || !get_bool(page, {"more"})) break;
    after = std::string(get_string(items->back(), {"text"}));
  }
  if (format == Format::json || format == Format::yaml)
    print_value(json::object{{"items", std::move(all)}}, format);
  co_return 0;
}

std::string state_text(const json::value& s) {
  const auto state = get_string(s, {"state"});
  if (state == "indexing" || state == "queued") {
    const auto done = get_int(s, {"progress", "bytesDone"}).value_or(0),
               total = get_int(s, {"progress", "bytesTotal"}).value_or(0);
    return total > 0 ? fmt::format("{} {}%", state, std::min(done, total) * 100 / total) : std::string(state);
  }
  return std::string(state);
}

net::Task<Result<int>> list(ApiClient& api, const Invocation& invocation, const Settings& settings,
                            bool everywhere) {
  net::Query q;
  if (!everywhere) q.add("namespace", settings.name_space.empty() ? "default" : settings.name_space);
  auto asking = all_items(api, "/api/v1/images", std::move(q));
  OJ_CO_TRY(auto items, co_await std::move(asking));
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml) {
    print_value(json::object{{"items", std::move(items)}}, format);
    co_return 0;
  }
  Table table({"NAMESPACE", "WORKLOAD", "CONTAINER", "STATE", "PATHS", "INDEX", "IMAGE"});
  for (const auto& s : items) {
    if (format == Format::name) {
      write_out(fmt::format("{}\n", printable(get_string(s, {"image"}), 1024)));
      continue;
    }
    const auto paths = get_int(s, {"index", "paths"});
    table.add({std::string(get_string(s, {"namespace"})), std::string(get_string(s, {"workload"})),
               std::string(get_string(s, {"container"})), state_text(s), paths ? std::to_string(*paths) : "",
               paths ? in_units(get_int(s, {"index", "bytes"}).value_or(0)) : "",
               printable(get_string(s, {"image"}), format == Format::wide ? 1024 : 60)});
  }
  if (format != Format::name) write_out(table.text());
  co_return 0;
}

net::Task<Result<int>> status(ApiClient& api, const Invocation& invocation, const Settings& settings,
                              ImageFlags flags) {
  OJ_CO_TRY(const auto q, question(flags, settings));
  OJ_CO_TRY(const auto page, co_await api.call("GET", "/api/v1/images?" + q.encode()));
  const auto* items = find_array(page, {"items"});
  if (items == nullptr || items->empty())
    co_return fail(Errc::internal, "cli.bad_answer", "the server's answer has no status in it");
  const auto& s = items->front();
  const auto format = invocation.format();
  if (format == Format::json || format == Format::yaml) {
    print_value(s, format);
    co_return 0;
  }
  write_out(fmt::format("Workload:   {}\nContainer:  {}\nImage:      {}\nPlatform:   {}\nState:      {}\n",
                        get_string(s, {"workload"}), get_string(s, {"container"}),
                        printable(get_string(s, {"image"}), 1024), get_string(s, {"platform"}),
                        state_text(s)));
  if (const auto digest = get_string(s, {"digest"}); !digest.empty())
    write_out(fmt::format("Manifest:   {}\n", digest));
  if (const auto paths = get_int(s, {"index", "paths"}))
    write_out(fmt::format("Index:      {} paths in {}\n", *paths,
                          in_units(get_int(s, {"index", "bytes"}).value_or(0))));
  if (find_object(s, {"progress"}) != nullptr) write_out(fmt::format("Progress:   {}\n", bar(s)));
  if (const auto missing = get_int(s, {"foreignLayers"}))
    write_out(
        fmt::format("Missing:    the files of {} layer(s) that the registry does not have\n", *missing));
  if (const auto error = get_string(s, {"error", "message"}); !error.empty()) {
    write_out(fmt::format("Error:      {}\n", printable(error, 2000)));
    if (const auto hint = get_string(s, {"error", "hint"}); !hint.empty())
      write_out(fmt::format("Hint:       {}\n", printable(hint, 500)));
  }
  co_return get_string(s, {"state"}) == "failed" ? 1 : 0;
}

using Work = net::Task<Result<int>> (*)(ApiClient&, const Invocation&, const Settings&, ImageFlags);

void on(CLI::App* command, Invocation& invocation, const std::shared_ptr<ImageFlags>& flags, Work work) {
  command->callback([&invocation, flags, work] {
    invocation.action = [flags, work](Invocation& i) {
      return with_server(i, [&i, flags, work](net::Loop& /*loop*/, ApiClient& api, const Settings& settings) {
        return work(api, i, settings, *flags);
      });
    };
  });
}

net::Task<Result<int>> list_all(ApiClient& api, const Invocation& i, const Settings& settings,
                                ImageFlags flags) {
  return list(api, i, settings, flags.all_namespaces);
}

}  // namespace

void add_image(CLI::App& app, Invocation& invocation) {
  auto* command =
      app.add_subcommand("image", "Look into the images of workloads, as completion does")->fallthrough();
  command->require_subcommand(1);
  const auto flags = std::make_shared<ImageFlags>();

  auto* ls =
      command->add_subcommand("ls", "List the images of workloads and how far their index is")->fallthrough();
  ls->add_flag("-A,--all-namespaces", flags->all_namespaces, "In all namespaces");
  on(ls, invocation, flags, &list_all);

  auto* show = command->add_subcommand("status", "Show one image and its index")->fallthrough();
  show->add_option("workload", flags->workload, "Such as deploy/payments")->required();
  show->add_option("-c,--container", flags->container, "Container");
  on(show, invocation, flags, &status);

  auto* inside = command->add_subcommand("files", "List a folder of a workload's image")->fallthrough();
  inside->add_option("workload", flags->workload, "Such as deploy/payments")->required();
  inside->add_option("directory", flags->directory, "Folder; left out: the working directory");
  inside->add_option("-c,--container", flags->container, "Container");
  inside->add_option("--search", flags->search, "Paths that have these letters in their order, best first");
  inside->add_flag("--no-wait", flags->no_wait, "Do not wait for a first index");
  inside->footer(
      "  oddjob image files deploy/payments scripts -o wide\n  oddjob image files deploy/payments --search "
      "bkfl");
  on(inside, invocation, flags, &files);
}

}  // namespace oddjob::cli
