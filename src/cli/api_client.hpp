// The REST API as the command line uses it (docs/api.md).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cli/config.hpp"
#include "cli/login/session.hpp"
#include "core/error.hpp"
#include "core/json.hpp"
#include "core/trace.hpp"
#include "kube/passage.hpp"
#include "net/async.hpp"
#include "net/http_client.hpp"

namespace oddjob::cli {

// The Error that a problem document (RFC 9457) or another failed answer stands
// for: kind from the status, code, detail and hint from the document.
Error error_of_answer(const net::HttpResponse& answer);
// The same, by way of the API server at `cluster`: what it refused itself, or
// could not pass on, is told apart. "kube.…", "cli.not_served", "cli.not_reached".
Error error_by_way_of(const std::string& cluster, std::string_view method, std::string_view target,
                      const net::HttpResponse& answer);

// Loop thread only.
class ApiClient {
 public:
  // Reads token and CA files; without a token, the session of `oddjob login`, which is
  // renewed before it expires. Errors: "cli.no_token", "cli.file_unreadable",
  // those of the kubeconfig where the context says `auth: kubeconfig`.
  static Result<std::unique_ptr<ApiClient>> make(net::Loop& loop, const Settings& settings,
                                                 const Environment& environment);
  // One exchange; an answer of 400 and above is an Error. A GET that is answered
  // with 429 is asked again after the Retry-After that it was given, as long as
  // such waits are a minute in all; others are the caller's to repeat.
  net::Task<Result<json::value>> call(std::string method, std::string path, json::value body = nullptr,
                                      net::Headers headers = {});
  // The same, for bodies that are not JSON.
  net::Task<Result<net::HttpResponse>> fetch(std::string method, std::string path, std::string body = {},
                                             net::Headers headers = {});
  // A streamed answer (status 200), otherwise the error it stands for.
  net::Task<Result<net::HttpStream>> open(std::string path, net::Headers headers, Duration idle_timeout);
  // How this server is reached: TLS material and proxy.
  static Result<net::HttpClientOptions> http_options(const Settings& settings);
  // The session that is used, if it is one.
  [[nodiscard]] const std::optional<LoginSession>& session() const noexcept { return session_; }
  [[nodiscard]] const std::string& server() const noexcept { return server_; }

 private:
  ApiClient(net::Loop& loop, std::string server, std::string authorization, net::HttpClientOptions options);
  ApiClient(net::Loop& loop, kube::Config cluster);
  [[nodiscard]] net::HttpRequest request(std::string method, std::string path, net::Headers headers) const;
  [[nodiscard]] Error error_of(std::string_view method, std::string_view target,
                               const net::HttpResponse& answer) const;
  net::Task<Result<>> renew();
  net::Loop& loop_;
  std::string server_, authorization_, session_path_;
  std::optional<LoginSession> session_;
  Environment environment_;  // with a session
  Trace trace_;              // of this invocation
  // One of the two: straight to the server, or by way of Kubernetes.
  std::unique_ptr<net::HttpClient> http_;
  std::unique_ptr<kube::Passage> passage_;
};

}  // namespace oddjob::cli
