#include "server/sample_images.hpp"

#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>

#include "core/text.hpp"
#include "devcluster/images/layout.hpp"
#include "fs/files.hpp"
#include "kube/config.hpp"
#include "process/process.hpp"

namespace oddjob::server {
namespace {

using devcluster::TreeFile;
using Tree = std::vector<TreeFile>;
using Kind = TreeFile::Kind;

constexpr std::size_t kMaxProgram = 32U << 20U;
constexpr const char* kPrograms[] = {
    "sh",   "basename", "cat",  "cp",  "cut",   "date", "dirname", "echo",  "env",  "expr", "false", "find",
    "grep", "head",     "id",   "ls",  "mkdir", "mv",   "printf",  "pwd",   "rm",   "sed",  "seq",   "sleep",
    "sort", "stat",     "tail", "tee", "touch", "tr",   "true",    "uname", "uniq", "wc",   "xargs"};

// Where this machine has a program; a link is followed, so `sh` is what it is here.
std::string find_program(std::string_view name) {
  for (const auto* folder : {"/usr/bin/", "/bin/"}) {
    const auto path = std::string(folder) + std::string(name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

// The shared libraries that programs need, by ldd: "\tlibc.so.6 => /lib/… (0x…)".
std::set<std::string> libraries(const std::vector<std::string>& programs) {
  process::ProcessRequest request;
  request.argv = {"ldd"};
  request.argv.insert(request.argv.end(), programs.begin(), programs.end());
  request.environment = kube::process_environment();
  const std::atomic<bool> stop = false;
  std::set<std::string> out;
  for (const auto& line : split(process::run_process(request, stop).output, '\n')) {
    if (!line.starts_with('\t')) continue;
    const auto slash = line.find('/');
    const auto end = line.find(" (0x");
    if (slash != std::string::npos && end != std::string::npos && slash < end)
      out.insert(line.substr(slash, end - slash));
  }
  return out;
}

Tree base_layer() {
  Tree out = {{"bin", "usr/bin", 0777, Kind::link}, {"etc", "", 0755, Kind::directory},
              {"etc/group", "root:x:0:\n"},         {"etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"},
              {"proc", "", 0755, Kind::directory},  {"root", "", 0700, Kind::directory},
              {"dev", "", 0755, Kind::directory},   {"tmp", "", 01777, Kind::directory},
              {"usr", "", 0755, Kind::directory},   {"usr/bin", "", 0755, Kind::directory}};
  std::vector<std::string> found;
  for (const auto* name : kPrograms) {
    const auto path = find_program(name);
    if (path.empty()) continue;
    auto content = fs::read_file(path, kMaxProgram, "devcluster.layout");
    if (!content) continue;
    out.push_back({std::string("usr/bin/") + name, std::move(*content), 0755, Kind::file});
    found.push_back(path);
  }
  for (const auto& path : libraries(found))
    if (auto content = fs::read_file(path, kMaxProgram, "devcluster.layout"))
      out.push_back({path.substr(1), std::move(*content), 0755, Kind::file});
  return out;
}

TreeFile script(std::string path, std::string_view body) {
  return {std::move(path), "#!/bin/sh\n" + std::string(body), 0755, Kind::file};
}

Tree payments_layer() {
  return {
      {"app", "", 0755, Kind::directory},
      {"app/config", "", 0755, Kind::directory},
      {"app/config/app.conf", "batch_size = 200\n"},
      {"app/config/limits.conf", "max_amount = 10000\n"},
      script("app/server.sh", "echo \"serving $DATABASE_NAME\"\nwhile :; do sleep 5; done\n"),
      {"app/scripts", "", 0755, Kind::directory},
      script("app/scripts/backfill.sh",
             "# Pretends to fill a column, a batch at a time: backfill.sh [SINCE] [BATCHES]\n"
             "for batch in $(seq 1 \"${2:-5}\"); do\n"
             "  echo \"$(date -u +%T) batch $batch of ${2:-5} in $DATABASE_NAME${1:+ since $1}: 200 rows\"\n"
             "  sleep 1\n"
             "done\n"
             "echo done\n"),
      script("app/scripts/backfill-refunds.sh", "echo \"refunds of $DATABASE_NAME: nothing to do\"\n"),
      script("app/scripts/migrate.sh",
             "echo \"migrating $DATABASE_NAME on $DATABASE_HOST\"; sleep 1; echo done\n"),
      script("app/scripts/reconcile.sh", "echo \"settings: $(cat \"${1:-config/app.conf}\")\"\n"),
      {"usr/local", "", 0755, Kind::directory},
      {"usr/local/bin", "", 0755, Kind::directory},
      script("usr/local/bin/payments-admin", "echo \"payments-admin: $*\"\n")};
}

Tree small_layer(std::string_view name) {
  return {{"app", "", 0755, Kind::directory},
          script("app/server.sh", "while :; do sleep 5; done\n"),
          script("app/" + std::string(name) + ".sh", "echo \"" + std::string(name) + ": $*\"\n")};
}

}  // namespace

Result<> write_sample_images(const std::string& folder) {
  const std::filesystem::path registry = std::filesystem::path(folder) / "registry.example.com";
  devcluster::ImageSettings settings;
  settings.working_dir = "/app";
  settings.env = {"PATH=/usr/local/bin:/usr/bin:/bin"};
  settings.command = {"/app/server.sh"};
  // One base for all, as teams have it: its paths are read once.
  const auto base = base_layer();
  OJ_CHECK(devcluster::write_layout(registry / "payments", "1.4.2", {base, payments_layer()}, settings));
  OJ_CHECK(devcluster::write_layout(registry / "reports", "2.0.0", {base, small_layer("monthly")}, settings));
  OJ_CHECK(devcluster::write_layout(registry / "ledger", "3.1.0", {base, small_layer("balance")}, settings));
  return devcluster::write_layout(registry / "legacy", "0.9", {base, small_layer("cleanup")}, settings);
}

}  // namespace oddjob::server
