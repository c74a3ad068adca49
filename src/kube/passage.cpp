#include "kube/passage.hpp"

#include "kube/client_impl.hpp"

namespace oddjob::kube {

struct Passage::Impl {
  using Ptr = std::shared_ptr<Impl>;
  Impl(net::Loop& l, Config c, std::string agent, Duration timeout)
      : loop(l),
        config(std::move(c)),
        user_agent(std::move(agent)),
        exec_timeout(timeout),
        credentials(std::make_shared<Credentials>(l, config, timeout)) {}

  net::Loop& loop;
  Config config;
  std::string user_agent;
  Duration exec_timeout;
  std::shared_ptr<Credentials> credentials;
  // The last one shows the certificate of `shown`; a stream may still run on those before.
  std::vector<std::unique_ptr<net::HttpClient>> clients;
  std::string shown;
  bool closed = false;

  static std::unexpected<Error> closed_error() {
    return fail(Errc::cancelled, "kube.client_closed", "the Kubernetes client was closed");
  }

  net::HttpClient& client(const Credentials::Now& who) {
    if (clients.empty() || shown != who.client_cert_pem) {
      clients.push_back(std::make_unique<net::HttpClient>(loop, http_options(config, who, user_agent)));
      shown = who.client_cert_pem;
    }
    return *clients.back();
  }

  static int status_of(const net::HttpResponse& r) { return r.status; }
  static int status_of(const net::HttpStream& s) { return s.status(); }

  // `Send` is one of HttpClient's two verbs.
  template <class Answer, class Send>
  static net::Task<Result<Answer>> exchange(Ptr self, net::HttpRequest request, Send send) {
    const auto deadline = Steady::now() + self->exec_timeout;
    request.url = self->config.server + request.url;
    for (bool renewed = false;; renewed = true) {
      if (self->closed) co_return closed_error();
      auto asking = Credentials::current(self->credentials, deadline);
      OJ_CO_TRY(Credentials::Now who, co_await std::move(asking));
      if (self->closed) co_return closed_error();
      auto copy = request;
      add_identity(copy.headers, self->config, who);
      auto sending = send(self->client(who), std::move(copy));
      Result<Answer> answer = co_await std::move(sending);
      if (self->closed) co_return closed_error();
      if (!answer || status_of(*answer) != 401 || renewed) co_return answer;
      auto renewing = Credentials::renew(self->credentials, std::move(who), deadline);
      OJ_CO_TRY(const bool worth_it, co_await std::move(renewing));
      if (!worth_it) co_return answer;
    }
  }
};

Passage::Passage(net::Loop& loop, Config config, std::string user_agent, Duration exec_timeout)
    : impl_(std::make_shared<Impl>(loop, std::move(config), std::move(user_agent), exec_timeout)) {}
Passage::~Passage() {
  impl_->closed = true;
  impl_->credentials->close();
  impl_->clients.clear();
}

const Config& Passage::config() const noexcept { return impl_->config; }

net::Task<Result<net::HttpResponse>> Passage::fetch(net::HttpRequest request) {
  return Impl::exchange<net::HttpResponse>(
      impl_, std::move(request),
      [](net::HttpClient& http, net::HttpRequest r) { return http.fetch(std::move(r)); });
}

net::Task<Result<net::HttpStream>> Passage::open(net::HttpRequest request) {
  return Impl::exchange<net::HttpStream>(
      impl_, std::move(request),
      [](net::HttpClient& http, net::HttpRequest r) { return http.open(std::move(r)); });
}

}  // namespace oddjob::kube
