// What is offered for a word, in which order, and what is found by its letters.
#include <fmt/format.h>

#include "tar_maker.hpp"

namespace oddjob::image::test {
namespace {

using Words = std::vector<std::string>;

Member dir(std::string name) { return {.name = std::move(name), .type = '5', .mode = 0755}; }
Member file(std::string name) { return {.name = std::move(name)}; }
Member tool(std::string name) { return {.name = std::move(name), .mode = 0755}; }
Member symlink(std::string name, std::string to) {
  return {.name = std::move(name), .type = '2', .link = std::move(to)};
}

const ImageIndex& shop() {
  static const ImageIndex index = [] {
    ImageFacts facts;
    facts.working_dir = "/app";
    facts.path_dirs = {"/usr/local/bin", "/usr/bin", "/bin", "relative", ""};
    auto made = index_of({{
                              tool("usr/bin/node"),
                              tool("usr/bin/nologin"),
                              file("usr/bin/notes.txt"),
                              symlink("usr/bin/nodejs", "node"),
                              symlink("usr/bin/nowhere", "gone"),
                              symlink("usr/bin/nod", "/etc"),
                              tool("usr/local/bin/node"),
                              tool("usr/local/bin/npm"),
                              symlink("bin", "usr/bin"),
                              file("etc/passwd"),
                              file("etc/payments.conf"),
                          },
                          {
                              dir("app"),
                              file("app/scripts/backfill.js"),
                              file("app/scripts/data.json"),
                              file("app/scripts/lib/x.js"),
                              tool("app/scripts/run"),
                              file("app/scripts/seed.mjs"),
                              file("app/scripts/report.py"),
                              file("app/.env"),
                              file("app/package.json"),
                              symlink("app/current", "scripts"),
                              symlink("app/self", "."),
                              symlink("app/a", "b"),
                              symlink("app/b", "a"),
                              file("app/server.js"),
                              tool("app/bin/www"),
                              symlink("app/start.js", "../etc/../app/server.js"),
                              symlink("app/out", "../../../../etc"),
                              file("app/odd/with space"),
                              file("app/odd/quo'te"),
                              file("app/odd/\x1b[31mred"),
                              file("app/odd/\xff"),
                              file("app/odd/line\nbreak"),
                              file("app/odd/\xc3\xa4pfel"),
                              file("app/odd/bidi\xe2\x80\xae"),
                          }},
                         facts);
    EXPECT_TRUE(made) << made.error().message;
    return std::move(*made);
  }();
  return index;
}

Words complete(std::string prefix, WordKind kind = WordKind::any, std::string interpreter = {},
               std::string cwd = {}) {
  CompletionQuery query;
  query.prefix = std::move(prefix);
  query.kind = kind;
  query.interpreter = std::move(interpreter);
  query.cwd = std::move(cwd);
  Words out;
  for (const auto& c : shop().complete(query).candidates) {
    out.push_back(c.text);
    EXPECT_EQ(c.is_dir, c.text.ends_with('/')) << c.text;
  }
  return out;
}

TEST(Complete, PathsOfEveryForm) {
  struct Row {
    std::string prefix;
    Words want;
  };
  const Row rows[] = {
      {"scr", {"scripts/"}},
      {"scripts/",
       {"scripts/backfill.js", "scripts/data.json", "scripts/lib/", "scripts/report.py", "scripts/run",
        "scripts/seed.mjs"}},
      {"./scr", {"./scripts/"}},
      {"scripts/../scr", {"scripts/../scripts/"}},
      {"../et", {"../etc/"}},
      {"../../../../et", {"../../../../etc/"}},
      {"/etc/pa", {"/etc/passwd", "/etc/payments.conf"}},
      {"//etc//pas", {"//etc//passwd"}},
      {"/et", {"/etc/"}},
      {"..", {"../"}},
      {"scripts/..", {"scripts/../"}},
      {"p", {"package.json"}},
      {".", {".env"}},
      {"no-such", {}},
      {"no/such/", {}},
      {"package.json/", {}},
      {"server.js/x", {}},
      {"curr", {"current/"}},                            // a link to a folder is one
      {"current/ba", {"current/backfill.js"}},           // and can be gone into
      {"current/../pack", {"current/../package.json"}},  // as the kernel does it: up from where it leads
      {"self/self/self/scripts/se", {"self/self/self/scripts/seed.mjs"}},
      {"out/pas", {"out/passwd"}},  // inside the root
      {"a", {"a"}},                 // a circle: a name, nothing more
      {"a/", {}},
      {"odd/", {"odd/quo'te", "odd/with space", "odd/\xc3\xa4pfel"}},  // never what a terminal might obey
      {"",
       {"a", "b", "bin/", "current/", "odd/", "out/", "package.json", "scripts/", "self/", "server.js",
        "start.js", ".env"}},
  };
  for (const auto& row : rows) EXPECT_EQ(complete(row.prefix), row.want) << row.prefix;
  EXPECT_EQ(complete("pas", WordKind::any, {}, "/etc"), Words{"passwd"});
  EXPECT_EQ(complete("pas", WordKind::any, {}, "/no/such/place"), Words{});
  EXPECT_EQ(complete("/etc/pas", WordKind::any, {}, "/no/such/place"), Words{"/etc/passwd"});
  EXPECT_EQ(complete(std::string("a\0b", 3)), Words{});
  EXPECT_EQ(complete(std::string(10'000, 'x')), Words{});
}

TEST(Complete, TheCommandIsLookedForAlongPath) {
  EXPECT_EQ(complete("no", WordKind::command),
            (Words{"node", "nodejs", "nologin"}));  // once each; no data, no dead links
  EXPECT_EQ(complete("np", WordKind::command), Words{"npm"});
  EXPECT_EQ(complete("scr", WordKind::command), Words{"scripts/"});  // on the way to one
  EXPECT_EQ(complete("bin/w", WordKind::command), Words{"bin/www"});
  EXPECT_EQ(complete("./", WordKind::command),
            (Words{"./bin/", "./current/", "./odd/", "./out/", "./scripts/", "./self/"}));
  EXPECT_EQ(complete("scripts/", WordKind::command), (Words{"scripts/run", "scripts/lib/"}));
  EXPECT_EQ(complete("/usr/bin/nod", WordKind::command),
            (Words{"/usr/bin/node", "/usr/bin/nodejs", "/usr/bin/nod/"}));
  CompletionQuery query;
  query.kind = WordKind::command;
  query.prefix = "w";
  query.path_dirs = {"bin"};  // of the container, not of the image; relative to its directory
  const auto found = shop().complete(query).candidates;
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].text, "www");
  EXPECT_TRUE(found[0].executable);
}

TEST(Complete, ScriptsOfTheInterpreterComeFirst) {
  const Words node{"scripts/backfill.js", "scripts/seed.mjs",  "scripts/lib/",
                   "scripts/run",         "scripts/data.json", "scripts/report.py"};
  EXPECT_EQ(complete("scripts/", WordKind::argument, "node"), node);
  EXPECT_EQ(complete("scripts/", WordKind::argument, "/usr/local/bin/node18"), node);
  const Words python{"scripts/report.py",   "scripts/lib/",      "scripts/run",
                     "scripts/backfill.js", "scripts/data.json", "scripts/seed.mjs"};
  EXPECT_EQ(complete("scripts/", WordKind::argument, "python3.11"), python);
  EXPECT_EQ(complete("scripts/", WordKind::argument, "cat"), complete("scripts/"));
  EXPECT_EQ(complete("s", WordKind::argument, "node"), (Words{"server.js", "start.js", "scripts/", "self/"}));
}

TEST(Complete, LimitsAndSaysSo) {
  CompletionQuery query;
  query.prefix = "scripts/";
  query.kind = WordKind::argument;
  query.interpreter = "python";
  query.limit = 1;
  const auto found = shop().complete(query);
  ASSERT_EQ(found.candidates.size(), 1U);
  EXPECT_EQ(found.candidates[0].text, "scripts/report.py");  // the best one, not the first one
  EXPECT_TRUE(found.more);
  query.limit = 6;
  EXPECT_FALSE(shop().complete(query).more);
}

TEST(Complete, WithoutAPathTheUsualDirectories) {
  auto index = index_of({{tool("usr/sbin/nginx"), tool("opt/nginx-debug")}});
  ASSERT_TRUE(index);
  CompletionQuery query;
  query.kind = WordKind::command;
  query.prefix = "ng";
  const auto found = index->complete(query).candidates;
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].text, "nginx");
}

TEST(Index, StatFollowsParentsAndNotTheLast) {
  struct Row {
    std::string path;
    std::string want;  // "KIND is_dir executable", or "!code"
  };
  const Row rows[] = {
      {"/", "1 1 0"},
      {"/app", "1 1 0"},
      {"app/", "1 1 0"},
      {"/app/current", "2 1 0"},
      {"/app/current/", "1 1 0"},
      {"/app/current/run", "0 0 1"},
      {"/app/start.js", "2 0 0"},
      {"/usr/bin/nodejs", "2 0 1"},
      {"/bin/node", "0 0 1"},
      {"/app/a", "2 0 0"},
      {"/app/a/", "!index.not_a_directory"},
      {"/app/a/b", "!index.no_such_path"},
      {"/gone", "!index.no_such_path"},
      {"/app/server.js/", "!index.not_a_directory"},
      {"/app/server.js/x", "!index.no_such_path"},
      {"", "!index.no_such_path"},
      {"/app/..", "1 1 0"},
      {"/usr/bin/nowhere", "2 0 0"},
  };
  for (const auto& row : rows) {
    const auto info = shop().stat(row.path);
    const std::string got =
        info ? fmt::format("{} {:d} {:d}", static_cast<int>(info->kind), info->is_dir, info->executable)
             : "!" + info.error().code;
    EXPECT_EQ(got, row.want) << row.path;
  }
  EXPECT_EQ(shop().stat("/app/current/")->name, "scripts");
  EXPECT_EQ(shop().stat("/app/current")->link, "scripts");
  EXPECT_EQ(shop().stat("run", "/app/scripts")->name, "run");
  EXPECT_FALSE(shop().stat("/app/odd/\x1b[31mred")->printable);
  EXPECT_FALSE(shop().stat("/app/odd/\xff")->printable);
  EXPECT_TRUE(shop().stat("/app/odd/\xc3\xa4pfel")->printable);
}

TEST(Index, ListsByPages) {
  Words names;
  std::string after;
  for (int page = 0; page < 10; ++page) {
    const auto listing = shop().list("/app/current", after, 2);
    ASSERT_TRUE(listing);
    for (const auto& e : listing->entries) names.push_back(e.name);
    if (!listing->more) break;
    after = names.back();
  }
  EXPECT_EQ(names, (Words{"backfill.js", "data.json", "lib", "report.py", "run", "seed.mjs"}));
  EXPECT_EQ(shop().list("/app/server.js").error().code, "index.not_a_directory");
  EXPECT_EQ(shop().list("/gone").error().code, "index.no_such_path");
  EXPECT_EQ(shop().list(".", {}, 1, "/etc")->entries[0].name, "passwd");
}

TEST(Index, WalkCanBeStopped) {
  Words paths;
  ASSERT_TRUE(shop().walk("/app/scripts", [&](std::string_view path, const PathInfo&) {
    paths.emplace_back(path);
    return paths.size() < 4;
  }));
  EXPECT_EQ(paths, (Words{"/app/scripts/backfill.js", "/app/scripts/data.json", "/app/scripts/lib",
                          "/app/scripts/lib/x.js"}));
}

TEST(Index, KeepsTheFacts) {
  EXPECT_EQ(shop().facts().working_dir, "/app");
  EXPECT_EQ(shop().facts().path_dirs.size(), 5U);
}

TEST(Fuzzy, FindsBySubsequenceTheBestFirst) {
  struct Row {
    std::string pattern;
    std::string first;
    std::size_t count;
  };
  const Row rows[] = {
      {"backfill", "/app/scripts/backfill.js", 1},
      {"bfill", "/app/scripts/backfill.js", 1},
      {"scrback", "/app/scripts/backfill.js", 1},
      {"node", "/usr/bin/node", 3},  // a whole name, the shorter path
      {"app/ser", "/app/server.js", 1},
      {"SERVER", "", 0},
      {"zzz", "", 0},
      {"", "", 0},
      {"lib", "/app/scripts/lib", 2},  // and what is in it
  };
  for (const auto& row : rows) {
    FuzzyQuery query;
    query.pattern = row.pattern;
    const auto found = shop().fuzzy(query);
    EXPECT_GE(found.size(), row.count) << row.pattern;
    EXPECT_EQ(found.empty() ? "" : found[0].path, row.first) << row.pattern;
    for (const auto& m : found) {
      ASSERT_EQ(m.positions.size(), row.pattern.size());
      for (std::size_t i = 0; i < m.positions.size(); ++i) {
        EXPECT_EQ(std::tolower(m.path[m.positions[i]]), row.pattern[i]) << m.path;
        EXPECT_TRUE(i == 0 || m.positions[i - 1] < m.positions[i]);
      }
    }
  }
}

TEST(Fuzzy, StaysBelowADirectoryAndUnderItsLimit) {
  FuzzyQuery query;
  query.pattern = "s";
  query.under = "/app/scripts";
  query.limit = 2;
  const auto found = shop().fuzzy(query);
  ASSERT_EQ(found.size(), 2U);
  for (const auto& m : found) EXPECT_TRUE(m.path.starts_with("/app/scripts/")) << m.path;
  query.under = "/gone";
  EXPECT_TRUE(shop().fuzzy(query).empty());
  query.under = "/app/odd";
  query.pattern = "red";
  EXPECT_TRUE(shop().fuzzy(query).empty());  // its name has an escape sequence
}

}  // namespace
}  // namespace oddjob::image::test
