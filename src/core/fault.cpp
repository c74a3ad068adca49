#include "core/fault.hpp"

#ifdef ODDJOB_FAULT_POINTS

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

namespace oddjob {
namespace {

struct Plan {
  std::string name, log;
  long n = 0;
  Plan() {
    if (const char* at = std::getenv("ODDJOB_CRASH_AT")) {
      const std::string text(at);
      const auto colon = text.rfind(':');
      if (colon != std::string::npos) {
        name = text.substr(0, colon);
        n = std::strtol(text.c_str() + colon + 1, nullptr, 10);
      }
    }
    if (const char* path = std::getenv("ODDJOB_FAULT_LOG")) log = path;
  }
};

}  // namespace

void fault_point(std::string_view name, std::string_view detail) noexcept {
  static const Plan plan;
  if (plan.n == 0 && plan.log.empty()) return;
  static std::mutex mutex;
  static std::map<std::string, long, std::less<>> passages;
  const std::lock_guard lock(mutex);
  const long mine = ++passages[std::string(name)];
  const long all = ++passages["*"];
  const std::string precise = std::string(name) + "/" + std::string(detail);
  const long of_detail = ++passages[precise];
  if (!plan.log.empty()) {
    const int fd = ::open(plan.log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
      std::string line(name);
      line += ' ';
      line += detail;
      line += '\n';
      (void)!::write(fd, line.data(), line.size());
      ::close(fd);
    }
  }
  if (plan.n != 0 && ((plan.name == name && plan.n == mine) || (plan.name == "*" && plan.n == all) ||
                      (plan.name == precise && plan.n == of_detail)))
    ::kill(::getpid(), SIGKILL);
}

}  // namespace oddjob

#endif
