#include "cli/api_client.hpp"

#include <fmt/format.h>

#include <charconv>

#include "cli/login/renew.hpp"
#include "core/aggregation.hpp"
#include "core/text.hpp"
#include "fs/files.hpp"
#include "kube/config.hpp"
#include "kube/status.hpp"

namespace oddjob::cli {
namespace {

constexpr std::size_t kMaxSecretFile = 1U << 20U;
constexpr Duration kLongestWait = std::chrono::seconds(60);  // for a limit's end, in all
// Longer than the server waits for the cluster, 30 s a call, so that it is heard what it waited for.
constexpr Duration kAnswer = std::chrono::seconds(75);
constexpr std::size_t kMaxProblem = 64U << 10U;

Errc kind_of_status(int status) {
  switch (status) {
    case 400:
      return Errc::invalid_argument;
    case 401:
      return Errc::unauthenticated;
    case 403:
      return Errc::forbidden;
    case 404:
      return Errc::not_found;
    case 409:
      return Errc::conflict;
    case 410:
      return Errc::gone;
    case 413:
      return Errc::too_large;
    case 422:
      return Errc::failed_precondition;
    case 429:
      return Errc::rate_limited;
    case 502:
    case 503:
      return Errc::unavailable;
    case 504:
      return Errc::deadline_exceeded;
    default:
      return status >= 500 ? Errc::internal : Errc::invalid_argument;
  }
}

Result<std::string> bearer(const Settings& settings, const Environment& environment) {
  if (!settings.token.empty()) return settings.token;
  std::string file = settings.token_file;
  if (file.empty() && settings.auth_kubeconfig) {
    kube::LoadOptions load;
    load.environment = environment;
    OJ_TRY(auto cluster, kube::load_config(load));
    if (!cluster.token.empty()) return cluster.token;
    file = cluster.token_file;
    if (file.empty())
      return fail(Errc::unauthenticated, "cli.no_token",
                  fmt::format("the kubeconfig context '{}' has no bearer token to send", cluster.context),
                  "`auth: kubeconfig` works for users with a token or a token file");
  }
  if (file.empty()) return std::string();
  OJ_TRY(const auto text, fs::read_file(file, kMaxSecretFile, "cli.file_unreadable"));
  return std::string(trim(text));
}

// Inside a traced pipeline the run belongs to the pipeline's trace.
Trace trace_of(const Environment& environment) {
  const auto outer = environment.find("TRACEPARENT");
  return trace_from(outer == environment.end() ? std::string_view() : outer->second);
}

}  // namespace

Error error_of_answer(const net::HttpResponse& answer) {
  Error e;
  e.kind = kind_of_status(answer.status);
  const auto retry = answer.headers.get("Retry-After");
  std::from_chars(retry.data(), retry.data() + retry.size(), e.retry_after_seconds);
  if (answer.headers.get("Content-Type").starts_with("application/problem+json")) {
    if (const auto problem = parse_json(answer.body, "the server's answer", kMaxProblem)) {
      e.code = std::string(get_string(*problem, {"code"}));
      e.message = std::string(get_string(*problem, {"detail"}, get_string(*problem, {"title"})));
      e.hint = std::string(get_string(*problem, {"hint"}));
      if (!e.message.empty()) return e;
    }
  }
  e.code = "cli.bad_answer";
  e.message = fmt::format("the server answered {} {} with {}", answer.status, net::status_text(answer.status),
                          answer.body.empty() ? "nothing" : printable(answer.body, 120));
  e.hint = "is this the address of an OddJob server?";
  return e;
}

Error error_by_way_of(const std::string& cluster, std::string_view method, std::string_view target,
                      const net::HttpResponse& answer) {
  // OddJob's own words pass through the API server as they are.
  if (answer.headers.get("Content-Type").starts_with("application/problem+json"))
    return error_of_answer(answer);
  const auto path = target.substr(0, target.find('?'));
  Error e =
      kube::error_from_answer(fmt::format("{} {}", method, path), answer.status, answer.headers, answer.body);
  if (answer.status == 401) {
    e.hint = "`kubectl auth whoami` with the same kubeconfig says more";
  } else if (answer.status == 403) {
    e.hint =
        "the API server asks for permission before OddJob is asked: ClusterRole oddjob-user, bound to you";
  } else if (answer.status == 404) {
    e.code = "cli.not_served";
    e.message = fmt::format("the cluster at {} does not serve OddJob: there is no {}/{} in it", cluster,
                            kAggregatedGroup, kAggregatedVersion);
    e.hint =
        "OddJob is to be installed there with apiService.enabled=true; or go straight to a server with "
        "--server";
  } else if (answer.status >= 502 && answer.status <= 504) {
    e.kind = Errc::unavailable;
    e.code = "cli.not_reached";
    e.message = fmt::format("the API server at {} does not reach OddJob: {}", cluster,
                            printable(trim(answer.body), 200));
    e.hint = fmt::format("`kubectl get apiservices {}.{}` says why", kAggregatedVersion, kAggregatedGroup);
  }
  return e;
}

ApiClient::ApiClient(net::Loop& loop, std::string server, std::string authorization,
                     net::HttpClientOptions options)
    : loop_(loop),
      server_(std::move(server)),
      authorization_(std::move(authorization)),
      http_(std::make_unique<net::HttpClient>(loop, std::move(options))) {}
ApiClient::ApiClient(net::Loop& loop, kube::Config cluster)
    : loop_(loop),
      server_(cluster.server),
      passage_(std::make_unique<kube::Passage>(loop, std::move(cluster), "oddjob/" ODDJOB_VERSION)) {}

Result<net::HttpClientOptions> ApiClient::http_options(const Settings& settings) {
  OJ_TRY(const auto url, net::parse_url(settings.server));
  net::HttpClientOptions options;
  options.user_agent = "oddjob/" ODDJOB_VERSION;
  options.proxy = url.host == "127.0.0.1" || url.host == "localhost" || url.host == "::1" ? "" : "env";
  if (!settings.ca_file.empty()) {
    OJ_TRY(options.tls.ca_pem, fs::read_file(settings.ca_file, kMaxSecretFile, "cli.file_unreadable"));
  }
  return options;
}

Result<std::unique_ptr<ApiClient>> ApiClient::make(net::Loop& loop, const Settings& settings,
                                                   const Environment& environment) {
  if (settings.cluster) {
    std::unique_ptr<ApiClient> made(new ApiClient(loop, *settings.cluster));
    made->trace_ = trace_of(environment);
    return made;
  }
  OJ_TRY(auto options, http_options(settings));
  OJ_TRY(auto token, bearer(settings, environment));
  std::string path;
  std::optional<LoginSession> session;
  if (token.empty()) {
    path = session_path(environment, settings.server);
    OJ_TRY(session, load_session(path, environment));
    if (session && session->server != settings.server) session.reset();
    if (!session)
      return fail(Errc::unauthenticated, "cli.no_token", fmt::format("no token for {}", settings.server),
                  "run `oddjob login`, or set ODDJOB_TOKEN or ODDJOB_TOKEN_FILE, or `oddjob context set NAME "
                  "--token-file FILE`");
    token = session->id_token;
  }
  for (const char c : token)
    if (c <= ' ' || c == 0x7f)
      return fail(Errc::unauthenticated, "cli.no_token", "the token has a character that no token can have",
                  "check the token file or ODDJOB_TOKEN");
  std::unique_ptr<ApiClient> made(
      new ApiClient(loop, settings.server, "Bearer " + token, std::move(options)));
  made->trace_ = trace_of(environment);
  if (session) made->environment_ = environment;
  made->session_ = std::move(session);
  made->session_path_ = path;
  return made;
}

net::Task<Result<>> ApiClient::renew() {
  if (!session_ || !needs_renewal(*session_, system_clock().now())) co_return Result<>{};
  OJ_CO_TRY(session_, co_await renewed(loop_, session_path_, *session_, environment_));
  authorization_ = "Bearer " + session_->id_token;
  co_return Result<>{};
}

net::HttpRequest ApiClient::request(std::string method, std::string path, net::Headers headers) const {
  net::HttpRequest r;
  r.method = std::move(method);
  r.url = passage_ ? to_aggregated(path) : server_ + path;
  r.headers = std::move(headers);
  if (!passage_) r.headers.set("Authorization", authorization_);
  r.headers.set("traceparent", to_traceparent(child_of(trace_)));
  return r;
}

Error ApiClient::error_of(std::string_view method, std::string_view target,
                          const net::HttpResponse& answer) const {
  return passage_ ? error_by_way_of(server_, method, target, answer) : error_of_answer(answer);
}

net::Task<Result<net::HttpResponse>> ApiClient::fetch(std::string method, std::string path, std::string body,
                                                      net::Headers headers) {
  const bool harmless = method == "GET";
  OJ_CO_CHECK(co_await renew());
  auto r = request(std::move(method), std::move(path), std::move(headers));
  r.body = std::move(body);
  r.timeout = kAnswer;
  const auto asked = std::make_pair(r.method, r.url);
  auto left = kLongestWait;
  for (;;) {
    auto once = r;
    auto asking = passage_ ? passage_->fetch(std::move(once)) : http_->fetch(std::move(once));
    OJ_CO_TRY(auto answer, co_await std::move(asking));
    if (answer.status < 400) co_return answer;
    auto e = error_of(asked.first, asked.second, answer);
    const Duration wait = std::chrono::seconds(e.retry_after_seconds);
    if (!harmless || e.kind != Errc::rate_limited || wait <= Duration::zero() || wait > left)
      co_return fail(std::move(e));
    left -= wait;
    co_await net::sleep_for(wait);
  }
}

net::Task<Result<json::value>> ApiClient::call(std::string method, std::string path, json::value body,
                                               net::Headers headers) {
  std::string text;
  if (!body.is_null()) {
    text = json::serialize(body);
    headers.set("Content-Type", "application/json");
  }
  OJ_CO_TRY(const auto answer,
            co_await fetch(std::move(method), std::move(path), std::move(text), std::move(headers)));
  co_return parse_json(answer.body, "the server's answer");
}

net::Task<Result<net::HttpStream>> ApiClient::open(std::string path, net::Headers headers,
                                                   Duration idle_timeout) {
  OJ_CO_CHECK(co_await renew());
  auto r = request("GET", std::move(path), std::move(headers));
  r.idle_timeout = idle_timeout;
  const auto target = r.url;
  auto opening = passage_ ? passage_->open(std::move(r)) : http_->open(std::move(r));
  OJ_CO_TRY(auto stream, co_await std::move(opening));
  if (stream.status() == 200) co_return std::move(stream);
  net::HttpResponse answer;
  answer.status = stream.status();
  answer.headers = stream.headers();
  while (answer.body.size() < kMaxProblem) {
    auto more = co_await stream.read();
    if (!more || more->empty()) break;
    answer.body += *more;
  }
  co_return fail(error_of("GET", target, answer));
}

}  // namespace oddjob::cli
