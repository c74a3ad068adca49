#include "kube/credentials.hpp"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "kube/files.hpp"
#include "net/http.hpp"

namespace oddjob::kube {
namespace {

// How often a token file is looked at; the kubelet rotates it minutes before
// the old one expires.
constexpr auto kFileCheck = std::chrono::seconds(2);
// A credential that ends this soon is replaced before it is used.
constexpr auto kExpirySkew = std::chrono::seconds(5);

bool may_send(const std::string& server) {
  const auto url = net::parse_url(server);
  return url && (url->scheme == "https" || url->host == "localhost" || url->host == "::1" ||
                 url->host.starts_with("127."));
}

Error closed_error() {
  return {Errc::cancelled, "kube.client_closed", "the Kubernetes client was closed", {}};
}

}  // namespace

Credentials::Credentials(net::Loop& loop, const Config& config, Duration exec_timeout)
    : loop_(loop), config_(config), exec_timeout_(exec_timeout), send_(may_send(config.server)) {
  const bool any =
      !config.token.empty() || !config.token_file.empty() || !config.username.empty() || config.exec;
  if (!send_ && any) spdlog::warn("kube: {} is not https: credentials are not sent to it", config.server);
}

Result<std::string> Credentials::token_of_file(bool force) {
  const auto now = Steady::now();
  const bool have = !file_token_.empty();
  if (have && !force && now - file_checked_ < kFileCheck) return file_token_;
  file_checked_ = now;
  struct stat st {};
  Stamp stamp;
  if (::stat(config_.token_file.c_str(), &st) == 0)
    stamp = {st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_size, st.st_ino};
  if (have && !force && stamp == file_stamp_) return file_token_;

  FileRead read = read_file(config_.token_file, kMaxCredentialFile);
  const std::string token(trim(read.bytes));
  std::string problem;
  if (read.error != 0)
    problem = errno_text(read.error);
  else if (token.empty())
    problem = "it is empty";
  else if (std::any_of(token.begin(), token.end(), [](char c) { return c <= 0x20 || c == 0x7f; }))
    problem = "it has white space or control characters inside";
  if (problem.empty()) {
    file_token_ = token;
    file_stamp_ = stamp;
    return file_token_;
  }
  if (have || !config_.token.empty()) {
    spdlog::warn("kube: token file {}: {}; the token known before stays in use", config_.token_file, problem);
    return have ? file_token_ : config_.token;
  }
  return fail(Errc::unavailable, "kube.token_unreadable",
              fmt::format("cannot read token file {}: {}", config_.token_file, problem));
}

bool Credentials::plugin_due() const {
  if (!plugin_) return true;
  return plugin_->expires && system_clock().now() + kExpirySkew >= *plugin_->expires;
}

net::Task<Result<Credentials::Now>> Credentials::current(std::shared_ptr<Credentials> self,
                                                         Steady::time_point deadline) {
  Now now;
  if (self->closed_) co_return fail(closed_error());
  now.client_cert_pem = self->config_.client_cert_pem;
  now.client_key_pem = self->config_.client_key_pem;
  if (!self->send_) co_return now;
  const Config& c = self->config_;
  if (!c.token_file.empty()) {
    OJ_CO_TRY(const std::string token, self->token_of_file(false));
    now.authorization = "Bearer " + token;
  } else if (!c.token.empty()) {
    now.authorization = "Bearer " + c.token;
  } else if (!c.username.empty()) {
    now.authorization = "Basic " + base64_encode(c.username + ":" + c.password);
  } else if (c.exec) {
    if (self->plugin_due()) {
      auto task = run_plugin(self, deadline);
      OJ_CO_CHECK(co_await std::move(task));
    }
    if (!self->plugin_->token.empty()) now.authorization = "Bearer " + self->plugin_->token;
    if (!self->plugin_->client_cert_pem.empty()) {
      now.client_cert_pem = self->plugin_->client_cert_pem;
      now.client_key_pem = self->plugin_->client_key_pem;
    }
    now.generation = self->generation_;
  }
  co_return now;
}

net::Task<Result<bool>> Credentials::renew(std::shared_ptr<Credentials> self, Now used,
                                           Steady::time_point deadline) {
  if (self->closed_) co_return fail(closed_error());
  const Config& c = self->config_;
  if (!self->send_) co_return false;
  if (!c.token_file.empty()) co_return self->token_of_file(true).has_value();
  if (!c.exec || !c.token.empty() || !c.username.empty()) co_return false;
  // Another call may have renewed them since.
  if (used.generation == self->generation_) {
    self->plugin_.reset();
    auto task = run_plugin(self, deadline);
    OJ_CO_CHECK(co_await std::move(task));
  }
  co_return true;
}

net::Task<Result<>> Credentials::run_plugin(std::shared_ptr<Credentials> self, Steady::time_point deadline) {
  const std::uint64_t seen = self->finished_.ticket();
  if (!self->running_) {
    self->running_ = true;
    // On its own, so that a caller that gives up does not take it along.
    self->loop_.spawn("kube.exec_plugin", plugin_task(self));
  }
  const auto left = std::chrono::duration_cast<Duration>(deadline - Steady::now());
  const bool ended = co_await self->finished_.wait_beyond(seen, std::max(left, Duration(1)));
  if (self->closed_) co_return fail(closed_error());
  if (!ended)
    co_return fail(
        Errc::deadline_exceeded, "kube.exec_timeout",
        fmt::format("credential plugin {} has not answered yet", printable(self->config_.exec->command, 300)),
        "it may be waiting for a login: run it once by hand");
  if (self->plugin_error_) co_return fail(*self->plugin_error_);
  if (!self->plugin_)
    co_return fail(Errc::internal, "kube.exec_failed", "the credential plugin left no credential");
  co_return Result<>();
}

net::Task<> Credentials::plugin_task(std::shared_ptr<Credentials> self) {
  if (self->closed_) co_return;
  if (!self->pool_) self->pool_.emplace(1U);
  auto run = [raw = self.get()] {
    return run_exec_plugin(*raw->config_.exec, raw->config_, raw->exec_timeout_, raw->stop_);
  };
  auto task = self->pool_->offload(run);
  Result<ExecCredential> got = co_await std::move(task);
  self->running_ = false;
  self->plugin_error_.reset();
  if (got) {
    self->plugin_ = std::move(*got);
    ++self->generation_;
  } else {
    self->plugin_.reset();
    self->plugin_error_ = got.error();
  }
  self->finished_.notify_all();
}

void Credentials::close() {
  closed_ = true;
  stop_.store(true);
  // Waits until the plugin is killed: its thread must not come back to a loop
  // that is gone.
  pool_.reset();
  finished_.notify_all();
}

}  // namespace oddjob::kube
