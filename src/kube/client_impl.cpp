#include "kube/client_impl.hpp"

#include <algorithm>

#include "core/fault.hpp"
#include "core/text.hpp"
#include "kube/paths.hpp"
#include "kube/status.hpp"

namespace oddjob::kube {
namespace {

constexpr std::size_t kMaxErrorBody = 256U << 10U;
// Above this, parsing would hold up the loop.
constexpr std::size_t kParseOnLoop = 96U << 10U;
constexpr std::size_t kMaxRetired = 3;

Error closed_error() {
  return {Errc::cancelled, "kube.client_closed", "the Kubernetes client was closed", {}};
}

// Nothing of the request has reached the server.
bool never_sent(const Error& e) { return e.code == "http.connect" || e.code == "http.resolve"; }

std::string lower_escaped(std::string_view key) { return net::percent_encode(ascii_lower(key)); }

// Cuts a body that should be short and is not coming, or not ending.
net::Task<> cut_at(std::shared_ptr<net::HttpStream> stream, std::shared_ptr<net::Notifier> done,
                   Duration after) {
  const bool in_time = co_await done->wait_beyond(0, after);
  if (!in_time) stream->cancel();
}

net::Task<std::string> read_error_body(net::Loop& loop, std::shared_ptr<net::HttpStream> stream,
                                       Steady::time_point deadline) {
  auto done = std::make_shared<net::Notifier>();
  const auto left = std::chrono::duration_cast<Duration>(deadline - Steady::now());
  loop.spawn("kube.error_body", cut_at(stream, done, std::clamp(left, Duration(1), Duration(5000))));
  std::string body;
  while (body.size() < kMaxErrorBody) {
    auto piece = co_await stream->read();
    if (!piece || piece->empty()) break;
    body += *piece;
  }
  done->notify_all();
  co_return body;
}

}  // namespace

Client::Impl::Impl(net::Loop& l, Config c, ClientOptions o)
    : loop(l),
      config(std::move(c)),
      options(std::move(o)),
      credentials(std::make_shared<Credentials>(l, config, options.exec_timeout)) {}

void Client::Impl::close() {
  closed = true;
  credentials->close();
  parser_.reset();  // waits for what it parses
  http_.reset();
  retired_.clear();
}

net::HttpClientOptions http_options(const Config& config, const Credentials::Now& who,
                                    const std::string& user_agent) {
  net::HttpClientOptions o;
  o.tls.ca_pem = config.ca_pem;
  o.tls.client_cert_pem = who.client_cert_pem;
  o.tls.client_key_pem = who.client_key_pem;
  o.tls.server_name = config.tls_server_name;
  o.tls.insecure_skip_verify = config.insecure_skip_tls_verify;
  o.proxy = config.proxy_url.empty() ? "env" : config.proxy_url;
  o.user_agent = user_agent;
  return o;
}

void add_identity(net::Headers& headers, const Config& config, const Credentials::Now& who) {
  if (!who.authorization.empty()) headers.set("Authorization", who.authorization);
  if (config.impersonate_user.empty()) return;
  headers.add("Impersonate-User", config.impersonate_user);
  for (const auto& g : config.impersonate_groups) headers.add("Impersonate-Group", g);
  if (!config.impersonate_uid.empty()) headers.add("Impersonate-Uid", config.impersonate_uid);
  for (const auto& [key, values] : config.impersonate_extra)
    for (const auto& v : values) headers.add("Impersonate-Extra-" + lower_escaped(key), v);
}

void Client::Impl::use_certificates(const Credentials::Now& who) {
  if (http_ && http_cert_ == who.client_cert_pem) return;
  if (http_) retired_.push_back(std::move(http_));
  if (retired_.size() > kMaxRetired) retired_.erase(retired_.begin());
  http_ = std::make_unique<net::HttpClient>(loop, http_options(config, who, options.user_agent));
  http_cert_ = who.client_cert_pem;
}

net::HttpRequest Client::Impl::build(const Call& call, const Credentials::Now& who, Duration left) const {
  net::HttpRequest r;
  r.method = call.method;
  r.url = config.server + call.target;
  r.body = call.body;
  r.timeout = left;
  r.idle_timeout = call.idle_timeout;
  r.max_body = options.max_body;
  r.headers.add("Accept", call.accept);
  if (!call.traceparent.empty()) r.headers.add("traceparent", call.traceparent);
  if (!call.content_type.empty()) r.headers.add("Content-Type", call.content_type);
  add_identity(r.headers, config, who);
  return r;
}

net::Task<Result<Client::Impl::Reply>> Client::Impl::attempt(Ptr self, net::HttpRequest request,
                                                             bool as_stream, Steady::time_point deadline) {
  Reply reply;
  if (!as_stream) {
    auto task = self->http_->fetch(std::move(request));
    OJ_CO_TRY(reply.response, co_await std::move(task));
    co_return reply;
  }
  auto task = self->http_->open(std::move(request));
  OJ_CO_TRY(net::HttpStream stream, co_await std::move(task));
  reply.response.status = stream.status();
  if (stream.status() >= 200 && stream.status() < 300) {
    reply.stream.emplace(std::move(stream));
    co_return reply;
  }
  reply.response.headers = stream.headers();
  auto shared = std::make_shared<net::HttpStream>(std::move(stream));
  auto body = read_error_body(self->loop, shared, deadline);
  reply.response.body = co_await std::move(body);
  co_return reply;
}

net::Task<Result<Client::Impl::Reply>> Client::Impl::run(Ptr self, Call call, bool as_stream) {
  const auto deadline = Steady::now() + self->options.call_timeout;
  Backoff backoff(self->options.min_backoff, self->options.max_backoff);
  bool renewed = false;
  for (int tries = 1;; ++tries) {
    if (self->closed) co_return fail(closed_error());
    auto asking = Credentials::current(self->credentials, deadline);
    OJ_CO_TRY(Credentials::Now who, co_await std::move(asking));
    if (self->closed) co_return fail(closed_error());
    self->use_certificates(who);
    const auto left = std::chrono::duration_cast<Duration>(deadline - Steady::now());
    net::HttpRequest request = self->build(call, who, std::max(left, Duration(1)));
    auto trying = attempt(self, std::move(request), as_stream, deadline);
    Result<Reply> reply = co_await std::move(trying);
    if (self->closed) co_return fail(closed_error());

    Duration wait = backoff.next();
    bool again = tries < self->options.max_attempts;
    if (!reply) {
      const Error& e = reply.error();
      again = again && (never_sent(e) || (call.reads() && e.code == "http.broken"));
    } else {
      const int status = reply->response.status;
      if (status == 401 && !renewed) {
        renewed = true;
        auto renewing = Credentials::renew(self->credentials, std::move(who), deadline);
        OJ_CO_TRY(const bool worth_it, co_await std::move(renewing));
        if (!worth_it) co_return reply;
        continue;
      }
      // A rejected request (429) was not processed; a 503 may have been.
      const bool later = status == 429 || (status == 503 && call.reads());
      if (!later) co_return reply;
      if (const int asked = retry_after_seconds(reply->response.headers); asked > 0) {
        wait = std::max<Duration>(std::chrono::seconds(asked), wait);
        again = true;
      }
    }
    if (!again || Steady::now() + wait >= deadline) co_return reply;
    if (!co_await net::sleep_for(wait)) co_return reply;
  }
}

net::Task<Result<net::HttpResponse>> Client::Impl::exchange(Ptr self, Call call) {
  const bool fault = call.fault_points;
  const std::string what = fault ? call.what() : std::string();
  if (fault) fault_point("kube.call.before", what);
  auto running = run(std::move(self), std::move(call), false);
  Result<Reply> reply = co_await std::move(running);
  if (fault) fault_point("kube.call.after", what);
  if (!reply) co_return fail(std::move(reply).error());
  co_return std::move(reply->response);
}

net::Task<Result<net::HttpStream>> Client::Impl::stream(Ptr self, Call call) {
  const std::string what = call.what();
  auto running = run(std::move(self), std::move(call), true);
  OJ_CO_TRY(Reply reply, co_await std::move(running));
  if (!reply.stream)
    co_return fail(
        error_from_answer(what, reply.response.status, reply.response.headers, reply.response.body));
  co_return std::move(*reply.stream);
}

net::Task<Result<json::value>> Client::Impl::parse(Ptr self, std::string what, net::HttpResponse response) {
  Result<json::value> parsed = json::value();
  if (response.body.size() <= kParseOnLoop) {
    parsed = parse_json(response.body, what, self->options.max_body);
  } else {
    if (self->closed) co_return fail(closed_error());
    if (!self->parser_) self->parser_.emplace(1U);
    auto work = [&response, &what, max = self->options.max_body] {
      return parse_json(response.body, what, max);
    };
    auto task = self->parser_->offload(work);
    parsed = co_await std::move(task);
  }
  if (parsed && parsed->is_object()) co_return parsed;
  const auto first = response.body.find_first_not_of(" \t\r\n");
  const bool begun = first != std::string::npos && response.body[first] == '{';
  const std::string_view why = parsed                  ? "not a JSON object"
                               : begun                 ? "JSON that is malformed or cut short"
                               : response.body.empty() ? "empty"
                                                       : "not JSON";
  co_return fail(not_json(what, response.status, response.headers, response.body, why));
}

net::Task<Result<json::value>> Client::Impl::object(Ptr self, Call call) {
  const std::string what = call.what();
  auto asking = exchange(self, std::move(call));
  OJ_CO_TRY(net::HttpResponse response, co_await std::move(asking));
  if (response.status < 200 || response.status >= 300)
    co_return fail(error_from_answer(what, response.status, response.headers, response.body));
  auto parsing = parse(std::move(self), what, std::move(response));
  co_return co_await std::move(parsing);
}

}  // namespace oddjob::kube
