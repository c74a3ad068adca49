#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/text.hpp"
#include "devcluster/node/container.hpp"

namespace oddjob::devcluster {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBwrap = "/usr/bin/bwrap";
// Of the host: programs and libraries, and what name look-ups and TLS need.
// Nothing of /etc that a stranger may not read.
constexpr const char* kSystem[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
constexpr const char* kEtc[] = {"/etc/alternatives", "/etc/group",     "/etc/hosts",
                                "/etc/ld.so.cache",  "/etc/localtime", "/etc/nsswitch.conf",
                                "/etc/passwd",       "/etc/protocols", "/etc/resolv.conf",
                                "/etc/services",     "/etc/ssl/certs", "/etc/ca-certificates"};

std::vector<std::string> base_arguments() {
  std::vector<std::string> out = {
      kBwrap,      "--unshare-pid", "--unshare-uts", "--unshare-ipc", "--die-with-parent",
      "--ro-bind", "/usr",          "/usr"};
  const auto add = [&](std::initializer_list<std::string> words) { out.insert(out.end(), words); };
  for (const auto* path : kSystem) {
    std::error_code error;
    if (fs::is_symlink(path, error))
      add({"--symlink", fs::read_symlink(path, error).string(), path});
    else if (fs::exists(path, error))
      add({"--ro-bind", path, path});
  }
  for (const auto* path : kEtc) add({"--ro-bind-try", path, path});
  add({"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/root", "--tmpfs", "/run",
       "--tmpfs", "/var"});
  add({"--dir", "/var/tmp"});
  return out;
}

// Links of the image lead to places in the image.
fs::path in_image(const fs::path& root, const std::string& path) {
  if (root.empty()) return path;
  std::error_code error;
  fs::path at = path;
  for (int links = 0; links < 40; ++links) {
    fs::path walked, rest;
    bool found = false;
    for (const auto& part : at.relative_path()) {
      if (found) {
        rest /= part;
        continue;
      }
      const auto next = root / walked / part;
      if (fs::is_symlink(next, error)) {
        const auto target = fs::read_symlink(next, error);
        walked = target.is_absolute() ? target.relative_path() : (walked / target).lexically_normal();
        found = true;
      } else {
        walked /= part;
      }
    }
    at = fs::path("/") / walked;
    if (!rest.empty()) at /= rest;
    at = at.lexically_normal();
    if (!found) break;
  }
  return root / at.relative_path();
}

// The file behind a path as the container sees it, or nullopt.
std::optional<fs::path> on_host(const std::string& path, const std::vector<Mount>& mounts,
                                const fs::path& root) {
  const Mount* best = nullptr;
  for (const auto& m : mounts)
    if ((path == m.target || path.starts_with(m.target + "/")) &&
        (best == nullptr || m.target.size() > best->target.size()))
      best = &m;
  const fs::path real = best == nullptr        ? in_image(root, path)
                        : path == best->target ? best->source
                                               : best->source / path.substr(best->target.size() + 1);
  std::error_code error;
  if (!fs::exists(real, error) || fs::is_directory(real, error)) return std::nullopt;
  return real;
}

// All that there is comes from the image, but for what a container engine adds.
std::vector<std::string> image_arguments(const fs::path& root) {
  std::vector<std::string> out = {
      kBwrap, "--unshare-pid", "--unshare-uts", "--unshare-ipc", "--die-with-parent", "--bind", root.string(),
      "/"};
  for (const auto* path : {"/etc/hosts", "/etc/resolv.conf"})
    out.insert(out.end(), {"--ro-bind-try", path, path});
  out.insert(out.end(), {"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"});
  return out;
}

std::unexpected<Error> start_error(std::string_view program, std::string_view why) {
  return fail(Errc::failed_precondition, "StartError",
              fmt::format("failed to create containerd task: failed to create shim task: OCI runtime create "
                          "failed: runc create failed: unable to "
                          "start container process: error during container init: exec: \"{}\": {}: unknown",
                          printable(program, 200), why));
}

}  // namespace

bool can_confine() {
  if (::access(kBwrap, X_OK) != 0) return false;
  auto arguments = base_arguments();
  arguments.emplace_back("/usr/bin/true");
  std::vector<char*> argv;
  for (auto& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  for (const int fd : {0, 1, 2})
    posix_spawn_file_actions_addopen(&files, fd, "/dev/null", fd == 0 ? 0 : 1, 0);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, kBwrap, &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  int status = 0;
  return error == 0 && ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Result<std::vector<std::string>> confined_argv(bool confine, const json::value& pod,
                                               const std::vector<std::string>& argv,
                                               const Environment& environment, const std::string& directory,
                                               const std::vector<Mount>& mounts, const fs::path& root) {
  const auto& program = argv.front();
  std::optional<fs::path> found;
  std::string inside = program;
  if (program.find('/') != std::string::npos) {
    inside = program.starts_with('/')
                 ? program
                 : (fs::path(directory.empty() ? "/" : directory) / program).lexically_normal().string();
    found = on_host(inside, mounts, root);
    if (!found)
      return start_error(program, fmt::format("stat {}: no such file or directory", printable(program, 200)));
  } else {
    for (const auto& [name, value] : environment) {
      if (name != "PATH") continue;
      for (const auto& folder : split(value, ':')) {
        if (found || folder.empty()) continue;
        inside = folder + "/" + program;
        found = on_host(inside, mounts, root);
        if (found && ::access(found->c_str(), X_OK) != 0) found.reset();
      }
    }
    if (!found) return start_error(program, "executable file not found in $PATH");
  }
  if (::access(found->c_str(), X_OK) != 0) return start_error(program, "permission denied");
  if (!confine) {
    std::vector<std::string> out = argv;
    out.front() = found->string();
    return out;
  }
  auto out = root.empty() ? base_arguments() : image_arguments(root);
  const auto add = [&](std::initializer_list<std::string> words) { out.insert(out.end(), words); };
  add({"--hostname", std::string(get_string(pod, {"spec", "hostname"}, get_string(pod, {"metadata", "name"})))
                         .substr(0, 63)});
  for (const auto& m : mounts) add({m.read_only ? "--ro-bind" : "--bind", m.source.string(), m.target});
  const std::string cwd = directory.empty() ? "/" : directory;
  if (cwd != "/") add({"--dir", cwd});
  add({"--chdir", cwd, "--", inside});
  out.insert(out.end(), argv.begin() + 1, argv.end());
  return out;
}

Result<fs::path> private_root(const fs::path& image, const fs::path& copy) {
  std::error_code error;
  fs::remove_all(copy, error);
  fs::create_directories(copy.parent_path(), error);
  fs::copy(image, copy, fs::copy_options::recursive | fs::copy_options::copy_symlinks, error);
  if (error)
    return fail(Errc::failed_precondition, "StartError",
                fmt::format("the image's files were not copied: {}", error.message()));
  return copy;
}

}  // namespace oddjob::devcluster
