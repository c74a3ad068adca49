// The exchange behind every verb: credentials, retries, deadline, errors.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/backoff.hpp"
#include "kube/client.hpp"
#include "kube/credentials.hpp"

namespace oddjob::kube {

// One call, which may take several HTTP exchanges.
struct Call {
  std::string method = "GET";
  std::string target;  // path and query, below the server's address
  std::string body, content_type;
  std::string accept = "application/json";
  std::string traceparent;
  Duration idle_timeout{0};  // of a stream
  bool fault_points = true;
  [[nodiscard]] bool reads() const { return method == "GET"; }
  [[nodiscard]] std::string path() const { return target.substr(0, target.find('?')); }
  [[nodiscard]] std::string what() const { return method + " " + path(); }
};

// How to connect to this server with these credentials.
net::HttpClientOptions http_options(const Config& config, const Credentials::Now& who,
                                    const std::string& user_agent);
// Who asks, and as whom (impersonation).
void add_identity(net::Headers& headers, const Config& config, const Credentials::Now& who);

struct Client::Impl : std::enable_shared_from_this<Client::Impl> {
  using Ptr = std::shared_ptr<Impl>;
  Impl(net::Loop& l, Config c, ClientOptions o);
  void close();

  // The answer, whatever its status. Retried as the header of Client says.
  static net::Task<Result<net::HttpResponse>> exchange(Ptr self, Call call);
  // The answer as a JSON object; other statuses than 2xx as their error.
  static net::Task<Result<json::value>> object(Ptr self, Call call);
  // A 2xx answer's body as a stream.
  static net::Task<Result<net::HttpStream>> stream(Ptr self, Call call);

  static net::Task<Result<std::string>> list_pages(Ptr self, Resource r, ListOptions options, OnPage on_page);
  static net::Task<Result<ListResult>> list(Ptr self, Resource r, ListOptions options);
  static net::Task<Result<>> remove(Ptr self, Call call);
  static net::Task<Result<Version>> version(Ptr self);

  net::Loop& loop;
  Config config;
  ClientOptions options;
  std::shared_ptr<Credentials> credentials;
  bool closed = false;
  std::optional<Version> version_;
  Steady::time_point version_at{};

 private:
  struct Reply {  // one of the two, by what was asked for
    net::HttpResponse response;
    std::optional<net::HttpStream> stream;
  };
  static net::Task<Result<Reply>> run(Ptr self, Call call, bool as_stream);
  static net::Task<Result<Reply>> attempt(Ptr self, net::HttpRequest request, bool as_stream,
                                          Steady::time_point deadline);
  static net::Task<Result<json::value>> parse(Ptr self, std::string what, net::HttpResponse response);
  net::HttpRequest build(const Call& call, const Credentials::Now& who, Duration left) const;
  void use_certificates(const Credentials::Now& who);

  std::unique_ptr<net::HttpClient> http_;
  std::string http_cert_;  // the client certificate that http_ shows
  // Clients with certificates of before, kept while streams may still run on them.
  std::vector<std::unique_ptr<net::HttpClient>> retired_;
  std::optional<net::BlockingPool> parser_;
};

}  // namespace oddjob::kube
