// What the cluster says of its front proxy, kept up to date.
#include <spdlog/spdlog.h>

#include "auth/front_proxy.hpp"
#include "core/text.hpp"

namespace oddjob::auth {

using Steady = std::chrono::steady_clock;

struct FrontProxy::Impl {
  using Ptr = std::shared_ptr<Impl>;
  Impl(kube::Client& c, Options o) : client(c), options(std::move(o)) {}

  kube::Client& client;
  Options options;
  std::shared_ptr<const RequestHeaders> known;
  std::optional<Error> problem;  // of the last reading
  net::Notifier wanted, read, ended;
  bool closed = false, running = false;

  static net::Task<> follow(Ptr self);
  void take(Result<json::value> answer);
  using Known = std::shared_ptr<const RequestHeaders>;
  static net::Task<Result<Known>> check(Ptr self, std::string chain_pem);
};

FrontProxy::FrontProxy(kube::Client& client, Options options)
    : impl_(std::make_shared<Impl>(client, std::move(options))) {}
FrontProxy::~FrontProxy() { impl_->closed = true; }

void FrontProxy::start() {
  impl_->running = true;
  impl_->client.loop().spawn("auth.front_proxy", Impl::follow(impl_));
}

net::Task<> FrontProxy::stop() {
  const auto self = impl_;
  self->closed = true;
  self->wanted.notify_all();
  self->ended.notify_all();
  const auto deadline = Steady::now() + std::chrono::seconds(5);
  while (self->running && Steady::now() < deadline) {
    const auto seen = self->read.ticket();
    co_await self->read.wait_beyond(seen, Duration(100));
  }
}

// A cluster that does not answer now may still have the front proxy it had; one
// that answers otherwise has not.
void FrontProxy::Impl::take(Result<json::value> answer) {
  auto parsed = answer ? parse_request_headers(*answer) : Result<RequestHeaders>(fail(answer.error()));
  if (parsed) {
    const bool other_ca = !known || known->ca_pem != parsed->ca_pem;
    if (!known || *known != *parsed)
      spdlog::info("auth: callers by way of the API server are taken; its names: {}",
                   parsed->allowed_names.empty() ? "any of its CA" : join(parsed->allowed_names, ", "));
    known = std::make_shared<const RequestHeaders>(std::move(*parsed));
    problem.reset();
    if (other_ca && options.on_authority) options.on_authority(known->ca_pem);
    return;
  }
  Error e = std::move(parsed).error();
  if (e.code == "kube.forbidden")
    e.hint = "bind Role extension-apiserver-authentication-reader of kube-system to OddJob's service account";
  const bool passing = e.kind == Errc::unavailable || e.kind == Errc::deadline_exceeded;
  if (!passing) known.reset();
  if (!problem || problem->message != e.message)
    spdlog::warn("auth: who the API server's front proxy is, is not known{}: {} [{}]{}{}",
                 known ? " anew, the last answer stays in force" : "", printable(e.message, 500), e.code,
                 e.hint.empty() ? "" : "; ", e.hint);
  problem = std::move(e);
}

net::Task<> FrontProxy::Impl::follow(Ptr self) {
  while (!self->closed) {
    const auto seen = self->wanted.ticket();
    auto asking =
        self->client.get(kube::resources::config_maps, "kube-system", "extension-apiserver-authentication");
    auto answer = co_await std::move(asking);
    if (self->closed) break;
    self->take(std::move(answer));
    self->read.notify_all();
    // Not faster than `retry`, however many ask.
    co_await self->ended.wait_beyond(0, std::min(self->options.retry, self->options.every));
    if (self->closed) break;
    if (self->problem || self->wanted.ticket() > seen) continue;
    co_await self->wanted.wait_beyond(seen, self->options.every);
  }
  self->running = false;
  self->read.notify_all();
}

net::Task<Result<FrontProxy::Impl::Known>> FrontProxy::Impl::check(Ptr self, std::string chain_pem) {
  Result<> last;
  for (int tries = 0; tries < 2; ++tries) {
    if (const Known known = self->known) {
      last = check_front_proxy(*known, chain_pem);
      if (last) co_return known;
    } else {
      Error e{Errc::unavailable,
              "auth.front_proxy_unknown",
              "the cluster has not said yet who its front proxy is",
              {},
              1};
      if (self->problem) {
        e.message += ": " + self->problem->message;
        e.hint = self->problem->hint;
      }
      last = fail(std::move(e));
    }
    if (tries > 0) break;
    // The CA may have been renewed this very moment.
    const auto seen = self->read.ticket();
    self->wanted.notify_all();
    co_await self->read.wait_beyond(seen, self->options.retry * 2);
  }
  co_return fail(std::move(last).error());
}

net::Task<Result<Subject>> FrontProxy::authenticate(std::string chain_pem, net::Headers headers) {
  const auto self = impl_;
  // Without a certificate there is nobody to wait for.
  if (chain_pem.empty()) OJ_CO_CHECK(check_front_proxy({}, {}));
  auto checking = Impl::check(self, std::move(chain_pem));
  OJ_CO_TRY(const auto known, co_await std::move(checking));
  co_return subject_of_headers(*known, headers);
}

}  // namespace oddjob::auth
