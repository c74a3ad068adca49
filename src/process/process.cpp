#include "process/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <thread>

namespace oddjob::process {
namespace {

using Steady = std::chrono::steady_clock;
constexpr std::size_t kErrorTail = 4096;

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

bool make_pipe(Fd& read_end, Fd& write_end) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return false;
  read_end.reset(fds[0]);
  write_end.reset(fds[1]);
  return ::fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0;
}

int spawn(const ProcessRequest& request, int in, int out, int err, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  if (in >= 0)
    posix_spawn_file_actions_adddup2(&actions, in, 0);
  else
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  sigdelset(&all, SIGKILL);
  sigdelset(&all, SIGSTOP);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<char*> argv;
  for (const auto& a : request.argv) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  std::vector<std::string> lines;
  for (const auto& [name, value] : request.environment) lines.push_back(name + "=" + value);
  std::vector<char*> envp;
  for (auto& l : lines) envp.push_back(l.data());
  envp.push_back(nullptr);
  const int error = ::posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error;
}

// What is to be read, in a file without a name: a pipe would need somebody to
// write while we read, and kills a writer whose reader has gone.
bool make_input(const std::string& text, Fd& fd) {
  if (text.empty()) return true;
  fd.reset(::memfd_create("input", MFD_CLOEXEC));
  return fd.get() >= 0 && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
         ::lseek(fd.get(), 0, SEEK_SET) == 0;
}

// Some of what is there now; the caller looks at its bounds between calls.
// False at the end of the stream.
bool read_some(const Fd& fd, std::string& into) {
  char chunk[65536];
  const ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
  if (n > 0) into.append(chunk, static_cast<std::size_t>(n));
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

}  // namespace

ProcessResult run_process(const ProcessRequest& request, const std::atomic<bool>& stop) {
  ProcessResult result;
  Fd in;
  Fd out_read;
  Fd out_write;
  Fd err_read;
  Fd err_write;
  if (!make_input(request.input, in) || !make_pipe(out_read, out_write) || !make_pipe(err_read, err_write)) {
    result.error = errno;
    return result;
  }
  pid_t pid = -1;
  if (const int error = spawn(request, in.get(), out_write.get(), err_write.get(), pid); error != 0) {
    result.error = error;
    return result;
  }
  out_write.reset();
  err_write.reset();

  const auto deadline = Steady::now() + request.timeout;
  bool out_open = true;
  bool err_open = true;
  bool exited = false;
  int wait_status = 0;
  result.end = ProcessEnd::exited;
  // A child of the plugin may hold the pipes open after it: the plugin's own
  // end is what counts, and then whatever is in the pipes.
  while (!exited) {
    pollfd fds[2] = {{out_open ? out_read.get() : -1, POLLIN, 0},
                     {err_open ? err_read.get() : -1, POLLIN, 0}};
    ::poll(fds, 2, out_open || err_open ? 20 : 5);
    const pid_t done = ::waitpid(pid, &wait_status, WNOHANG);
    exited = done == pid || (done < 0 && errno == ECHILD);
    for (int rounds = 0; rounds < (exited ? 256 : 1); ++rounds) {
      const std::size_t before = result.output.size() + result.error_tail.size();
      if (out_open) out_open = read_some(out_read, result.output);
      if (err_open) err_open = read_some(err_read, result.error_tail);
      const bool nothing_new = before == result.output.size() + result.error_tail.size();
      if (result.error_tail.size() > kErrorTail)
        result.error_tail.erase(0, result.error_tail.size() - kErrorTail);
      if (nothing_new || result.output.size() > request.max_output) break;
    }
    if (result.output.size() > request.max_output) result.end = ProcessEnd::too_much_output;
    if (!exited && Steady::now() >= deadline) result.end = ProcessEnd::timed_out;
    if (!exited && stop.load()) result.end = ProcessEnd::stopped;
    if (result.end != ProcessEnd::exited) break;
  }
  if (!exited) {
    // One that is merely late may tidy up; where somebody waits to close, no.
    if (result.end == ProcessEnd::timed_out) ::kill(-pid, SIGTERM);
    for (int i = 0; i < 50 && !exited && result.end == ProcessEnd::timed_out; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      exited = ::waitpid(pid, &wait_status, WNOHANG) != 0;
    }
    ::kill(-pid, SIGKILL);
    if (!exited) ::waitpid(pid, &wait_status, 0);
    return result;
  }
  result.signalled = WIFSIGNALED(wait_status);
  result.status = result.signalled ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
  return result;
}

}  // namespace oddjob::process
