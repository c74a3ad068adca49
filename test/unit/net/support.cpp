#include "support.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace oddjob::net::testing {
namespace fs = std::filesystem;

TempDir::TempDir() {
  std::string name = (fs::temp_directory_path() / "oddjob-net-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = name;
}
TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

namespace {

constexpr std::string_view kScript = R"(
set -e
cd "$1"
ca() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -keyout $1.key -out $1.pem -subj "/CN=$1" -addext basicConstraints=critical,CA:TRUE
}
leaf() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $2.key -out $2.csr -subj "/CN=$3"
  printf "%s\n" "$4" > $2.ext
  openssl x509 -req -in $2.csr -CA $1.pem -CAkey $1.key -CAcreateserial -days 2 -out $2.pem -extfile $2.ext
}
ca ca; ca other
leaf ca server server "subjectAltName=DNS:localhost,IP:127.0.0.1"
leaf ca client ann "extendedKeyUsage=clientAuth"
leaf other stranger mallory "extendedKeyUsage=clientAuth"
)";

void wait_for(int fd, short what) {
  pollfd p{fd, what, 0};
  ::poll(&p, 1, 5000);
}

}  // namespace

const Pki& pki() {
  static const TempDir folder;
  static const Pki made = [] {
    const auto script = folder.path() / "make.sh";
    std::ofstream(script) << kScript;
    const auto command = "sh " + script.string() + " " + folder.path().string() + " > " +
                         (folder.path() / "log").string() + " 2>&1";
    if (std::system(command.c_str()) != 0)
      throw std::runtime_error("openssl: " + read_file(folder.path() / "log"));
    const auto pem = [](const char* name) { return read_file(folder.path() / name); };
    return Pki{folder.path(),     pem("ca.pem"),       pem("server.pem"),
               pem("server.key"), pem("client.pem"),   pem("client.key"),
               pem("other.pem"),  pem("stranger.pem"), pem("stranger.key")};
  }();
  return made;
}

RawClient::RawClient(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(static_cast<std::uint16_t>(port));
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) throw std::runtime_error("connect");
}
RawClient::RawClient(const std::string& unix_path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  unix_path.copy(a.sun_path, sizeof a.sun_path - 1);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) throw std::runtime_error("connect");
}
RawClient::~RawClient() { close(); }

void RawClient::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void RawClient::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string RawClient::receive(std::string_view until, std::size_t n) {
  std::string out;
  char buffer[65536];
  while (out.size() < n && (until.empty() || out.find(until) == std::string::npos)) {
    wait_for(fd_, POLLIN);
    const auto got = ::recv(fd_, buffer, std::min(sizeof buffer, n - out.size()), MSG_DONTWAIT);
    if (got <= 0) break;
    out.append(buffer, static_cast<std::size_t>(got));
  }
  return out;
}

bool RawClient::closed() {
  char buffer[65536];
  for (;;) {
    wait_for(fd_, POLLIN);
    const auto got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno == ECONNRESET)) return true;
    if (got < 0) return false;
  }
}

void Bench::serve(Handler handler, ServerOptions options, HttpClientOptions client_options) {
  if (!options.cert_pem.empty() && client_options.tls.ca_pem.empty()) client_options.tls.ca_pem = pki().ca;
  const bool tls = !options.cert_pem.empty();
  server = std::make_unique<HttpServer>(loop, std::move(options), std::move(handler));
  const auto started = server->start();
  if (!started) throw std::runtime_error(started.error().message);
  client = std::make_unique<HttpClient>(loop, std::move(client_options));
  base = std::string(tls ? "https" : "http") + "://127.0.0.1:" + std::to_string(server->port());
}

std::string Bench::url(std::string_view target) const { return base + std::string(target); }

Result<HttpResponse> Bench::get(std::string_view target) {
  HttpRequest request;
  request.url = url(target);
  return fetch(std::move(request));
}

namespace {
Task<bool> poll_until(std::function<bool()> condition, Duration limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) co_return false;
    co_await sleep_for(std::chrono::milliseconds(2));
  }
  co_return true;
}
}  // namespace

bool Bench::until(const std::function<bool()>& condition, Duration limit) {
  return loop.block_on(poll_until(condition, limit));
}

ServerOptions tls_server() {
  ServerOptions o;
  o.cert_pem = pki().server_cert;
  o.key_pem = pki().server_key;
  o.client_ca_pem = pki().ca;
  return o;
}

namespace {
Task<> answer_with(std::string body, ResponseWriter& writer) {
  ServerResponse response;
  response.body = std::move(body);
  co_await writer.send(std::move(response));
}
}  // namespace

Handler answering(std::string body) {
  return [body = std::move(body)](const ServerRequest&, ResponseWriter& w) { return answer_with(body, w); };
}

}  // namespace oddjob::net::testing
