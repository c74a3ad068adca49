#include "devcluster/node/runner.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

namespace oddjob::devcluster {
namespace {

constexpr std::size_t kPiece = 16U << 10U;  // as containerd splits long lines

// RFC 3339 with nanoseconds, growing with each call on one log.
std::string stamp(std::int64_t& last) {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  std::int64_t now = static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  if (now <= last) now = last + 1;
  last = now;
  const std::time_t seconds = now / 1'000'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now % 1'000'000'000);
}

bool write_whole(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

struct Child {
  pid_t pid = 0;
  int pidfd = -1, pipe = -1, log = -1;
  std::size_t room = 0;
  std::string line;  // not ended yet
  std::int64_t last_stamp = 0;
  ~Child() {
    for (const int fd : {pidfd, pipe, log})
      if (fd >= 0) ::close(fd);
  }

  void put(std::string& out, std::string_view text, char tag) {
    const auto entry = fmt::format("{} stdout {} ", stamp(last_stamp), tag);
    if (room < entry.size() + text.size() + 1) {
      room = 0;
      return;
    }
    room -= entry.size() + text.size() + 1;
    out += entry;
    out += text;
    out += '\n';
  }

  void take(std::string_view bytes) {
    std::string out;
    while (!bytes.empty()) {
      const auto end = bytes.find('\n');
      const auto n = std::min({end == std::string_view::npos ? bytes.size() : end, kPiece - line.size()});
      line += bytes.substr(0, n);
      bytes.remove_prefix(n);
      if (!bytes.empty() && bytes.front() == '\n') {
        put(out, line, 'F');
        line.clear();
        bytes.remove_prefix(1);
      } else if (line.size() == kPiece) {
        put(out, line, 'P');
        line.clear();
      }
    }
    write_whole(log, out);
  }

  // Reads what is there; false at the end of the pipe.
  bool drain() {
    char buffer[65536];
    for (;;) {
      const auto n = ::read(pipe, buffer, sizeof buffer);
      if (n > 0) {
        take({buffer, static_cast<std::size_t>(n)});
        if (n < static_cast<ssize_t>(sizeof buffer)) return true;
        continue;
      }
      if (n < 0 && errno == EINTR) continue;
      return n < 0 && errno == EAGAIN;
    }
  }

  void finish() {
    while (pipe >= 0) {
      pollfd p{pipe, POLLIN, 0};
      if (::poll(&p, 1, 0) <= 0 || !drain()) break;
    }
    std::string out;
    if (!line.empty()) put(out, line, 'P');  // a last line without its newline
    line.clear();
    write_whole(log, out);
  }
};

}  // namespace

struct Runner::Impl {
  net::Loop& loop;
  std::function<void(std::uint64_t, int)> exited;
  std::function<void()> printed;
  // Shared with callbacks that are still queued on the loop when we go.
  std::shared_ptr<std::atomic<bool>> alive = std::make_shared<std::atomic<bool>>(true);
  std::mutex mutex;
  std::vector<std::unique_ptr<Child>> incoming;
  std::map<pid_t, std::unique_ptr<Child>> children;  // the thread's own
  std::atomic<bool> stopping{false}, announced{false};
  int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::thread thread;

  Impl(net::Loop& l, std::function<void(std::uint64_t, int)> e, std::function<void()> p)
      : loop(l), exited(std::move(e)), printed(std::move(p)), thread([this] { run(); }) {}
  ~Impl() {
    *alive = false;
    stopping = true;
    poke();
    thread.join();
    ::close(wake);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void poke() const {
    const std::uint64_t one = 1;
    (void)!::write(wake, &one, sizeof one);
  }

  void announce() {
    if (announced.exchange(true)) return;  // one on its way is enough
    loop.post([this, ok = alive] {
      if (!*ok) return;
      announced = false;
      printed();
    });
  }

  void run() {
    while (!stopping) {
      {
        const std::lock_guard lock(mutex);
        for (auto& child : incoming) {
          const auto pid = child->pid;
          children.emplace(pid, std::move(child));
        }
        incoming.clear();
      }
      std::vector<pollfd> fds{{wake, POLLIN, 0}};
      std::vector<pid_t> owners{0};
      for (const auto& [pid, child] : children) {
        fds.push_back({child->pidfd, POLLIN, 0});
        owners.push_back(pid);
        if (child->pipe >= 0) {
          fds.push_back({child->pipe, POLLIN, 0});
          owners.push_back(pid);
        }
      }
      if (::poll(fds.data(), fds.size(), 10000) < 0) continue;
      if (fds[0].revents != 0) {
        std::uint64_t count = 0;
        (void)!::read(wake, &count, sizeof count);
      }
      bool grew = false;
      for (std::size_t i = 1; i < fds.size(); ++i) {
        if (fds[i].revents == 0) continue;
        auto& child = *children.at(owners[i]);
        if (fds[i].fd != child.pipe) continue;
        grew = true;
        if (!child.drain()) {
          ::close(child.pipe);
          child.pipe = -1;
        }
      }
      for (std::size_t i = 1; i < fds.size(); ++i) {
        if (fds[i].revents == 0) continue;
        const auto found = children.find(owners[i]);
        if (found == children.end() || fds[i].fd != found->second->pidfd) continue;
        int status = 0;
        if (::waitpid(found->first, &status, WNOHANG) != found->first) continue;
        found->second->finish();
        grew = true;
        const auto pid = static_cast<std::uint64_t>(found->first);
        children.erase(found);
        loop.post([this, ok = alive, pid, status] {
          if (*ok) exited(pid, status);
        });
      }
      if (grew) announce();
    }
    for (const auto& [pid, child] : children) {
      for (const int p : descendants(pid)) ::kill(p, SIGKILL);
      ::kill(pid, SIGKILL);
      int status = 0;
      ::waitpid(pid, &status, 0);
    }
  }
};

Runner::Runner(net::Loop& loop, std::function<void(std::uint64_t id, int status)> exited,
               std::function<void()> printed)
    : impl_(std::make_unique<Impl>(loop, std::move(exited), std::move(printed))) {}
Runner::~Runner() = default;

Result<std::uint64_t> Runner::start(const Launch& launch) {
  const auto failed = [](std::string_view what, int error) {
    return fail(Errc::internal, "StartError", fmt::format("{}: {}", what, std::strerror(error)));
  };
  auto child = std::make_unique<Child>();
  child->room = launch.max_log_bytes;
  child->log = ::open(launch.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (child->log < 0) return failed("the log file", errno);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return failed("a pipe", errno);
  child->pipe = ends[0];
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, ends[1], 1);
  posix_spawn_file_actions_adddup2(&files, ends[1], 2);
  posix_spawn_file_actions_addchdir_np(&files, launch.directory.empty() ? "/" : launch.directory.c_str());
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int s : {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&defaults, s);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv, environment;
  for (const auto& a : launch.argv) argv.push_back(const_cast<char*>(a.c_str()));
  for (const auto& e : launch.environment) environment.push_back(const_cast<char*>(e.c_str()));
  argv.push_back(nullptr);
  environment.push_back(nullptr);
  const int error = ::posix_spawn(&child->pid, launch.argv.front().c_str(), &files, &attributes, argv.data(),
                                  environment.data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  ::close(ends[1]);
  if (error != 0) return failed(launch.argv.front(), error);
  child->pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child->pid, 0));
  const auto id = static_cast<std::uint64_t>(child->pid);
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->incoming.push_back(std::move(child));
  }
  impl_->poke();
  return id;
}

void Runner::signal(std::uint64_t id, int signal) const { ::kill(static_cast<pid_t>(id), signal); }

std::vector<int> descendants(int pid) {
  std::multimap<int, int> by_parent;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const auto name = entry.path().filename().string();
    if (name.empty() || name[0] < '0' || name[0] > '9') continue;
    std::ifstream file(entry.path() / "stat");
    std::string text;
    std::getline(file, text);
    // The command's name, in parentheses, may hold anything.
    const auto close = text.rfind(')');
    if (close == std::string::npos || close + 4 > text.size()) continue;
    by_parent.emplace(std::atoi(text.c_str() + close + 4), std::atoi(name.c_str()));
  }
  std::vector<int> out, front{pid};
  while (!front.empty()) {
    std::vector<int> next;
    for (const int p : front) {
      const auto [first, last] = by_parent.equal_range(p);
      for (auto it = first; it != last; ++it) next.push_back(it->second);
    }
    out.insert(out.end(), next.begin(), next.end());
    front = std::move(next);
  }
  return out;
}

std::int64_t tree_rss(int pid) {
  std::int64_t pages = 0;
  auto all = descendants(pid);
  all.push_back(pid);
  for (const int p : all) {
    std::ifstream file(fmt::format("/proc/{}/statm", p));
    std::int64_t size = 0, resident = 0;
    if (file >> size >> resident) pages += resident;
  }
  return pages * ::sysconf(_SC_PAGESIZE);
}

}  // namespace oddjob::devcluster
