#include "cli/login/flows.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <optional>

#include "core/digest.hpp"
#include "core/text.hpp"
#include "net/http_server.hpp"

extern char** environ;

namespace oddjob::cli {
namespace {

constexpr std::string_view kPage =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>OddJob</title>"
    "<style>body{{font:16px/1.5 system-ui,sans-serif;display:grid;place-items:center;height:90vh;margin:0;"
    "color:#222;background:#fafafa}}main{{text-align:center}}h1{{font-weight:600}}"
    "@media(prefers-color-scheme:dark){{body{{color:#eee;background:#1b1b1d}}}}</style>"
    "<main><h1>{}</h1><p>{}</p></main></html>";

net::ServerResponse page(int status, std::string_view title, std::string_view text) {
  net::ServerResponse r;
  r.status = status;
  r.headers.add("Content-Type", "text/html; charset=utf-8");
  r.headers.add("Cache-Control", "no-store");
  r.headers.add("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
  r.headers.add("Referrer-Policy", "no-referrer");
  r.body = fmt::format(fmt::runtime(kPage), title, text);
  return r;
}

// The one answer that is waited for.
struct Redirect {
  std::string state, issuer;
  bool must_say_issuer = false;
  std::optional<Result<std::string>> code;
  net::Notifier arrived;

  [[nodiscard]] Result<std::string> read(const net::Query& q) const {
    if (q.get("iss") != issuer && (must_say_issuer || q.has("iss")))
      return fail(Errc::unauthenticated, "login.bad_answer", "the answer is of another identity provider");
    if (q.get("error") == "access_denied")
      return fail(Errc::forbidden, "login.denied", "the login was refused in the browser");
    if (q.has("error"))
      return fail(Errc::unauthenticated, "login.refused",
                  fmt::format("the identity provider refused: {}: {}", printable(q.get("error"), 80),
                              printable(q.get("error_description"), 300)));
    if (q.get("code").empty())
      return fail(Errc::unauthenticated, "login.bad_answer", "the identity provider's answer has no code");
    return std::string(q.get("code"));
  }

  static net::Task<> answer(std::shared_ptr<Redirect> self, const net::ServerRequest& q,
                            net::ResponseWriter& w) {
    // Anything on this machine can ask here: what does not know the state changes nothing.
    const bool ours = q.method == "GET" && q.path == "/callback" && !self->code &&
                      equal_constant_time(q.query.get("state"), self->state);
    net::ServerResponse response =
        page(404, "Nothing here", "This page is for one login, which is not this one.");
    if (ours) {
      self->code = self->read(q.query);
      response = *self->code ? page(200, "Logged in", "You can close this page and go back to the terminal.")
                             : page(400, "Not logged in", "The terminal says why.");
    }
    co_await w.send(std::move(response));
    if (ours) self->arrived.notify_all();
  }
};

std::string secret() { return base64url_encode(random_bytes(32)); }

std::string sha256_bytes(std::string_view text) {
  const auto hex = sha256_hex(text);
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

std::string variable(const Environment& environment, const char* name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string{} : found->second;
}

}  // namespace

net::Task<Result<Tokens>> login_in_browser(net::Loop& loop, Provider& provider, LoginOptions options) {
  auto redirect = std::make_shared<Redirect>();
  redirect->state = secret();
  redirect->issuer = provider.issuer().issuer;
  redirect->must_say_issuer = provider.says_issuer_in_answers();
  const std::string nonce = secret(), verifier = secret();
  net::ServerOptions server_options;
  server_options.port = options.port;
  server_options.max_header = 32U << 10U;
  server_options.max_body = 1024;
  server_options.max_connections = 16;
  net::HttpServer server(loop, server_options,
                         [redirect](const net::ServerRequest& q, net::ResponseWriter& w) {
                           return Redirect::answer(redirect, q, w);
                         });
  OJ_CO_CHECK(server.start());
  const std::string uri = fmt::format("http://127.0.0.1:{}/callback", server.port());
  const std::string url =
      provider.authorization_url(uri, redirect->state, nonce, base64url_encode(sha256_bytes(verifier)));
  if (options.open) options.open(url);
  options.say(fmt::format("Log in at this address, in a browser on this machine:\n\n  {}\n\n", url));
  const auto seen = redirect->arrived.ticket();
  if (!redirect->code) co_await redirect->arrived.wait_beyond(seen, options.timeout);
  co_await server.shutdown(std::chrono::seconds(1));
  if (!redirect->code)
    co_return fail(Errc::deadline_exceeded, "login.timeout",
                   fmt::format("nobody logged in within {}", human_duration(options.timeout)),
                   "run `oddjob login` again; `--device` is for machines without a browser");
  if (!*redirect->code) co_return fail(redirect->code->error());
  std::string code = **redirect->code;
  co_return co_await provider.exchange(std::move(code), uri, verifier, nonce);
}

net::Task<Result<Tokens>> login_by_device(Provider& provider, LoginOptions options) {
  OJ_CO_TRY(const auto code, co_await provider.device_code());
  std::string text = fmt::format("On any device with a browser, open\n\n  {}\n\nand enter the code  {}\n",
                                 printable(code.uri, 500), printable(code.user_code, 60));
  if (!code.uri_complete.empty())
    text +=
        fmt::format("\nor open, where the code is filled in:\n\n  {}\n", printable(code.uri_complete, 500));
  options.say(text + "\n");
  const auto deadline =
      std::chrono::steady_clock::now() + std::min(code.expires_in, Duration(std::chrono::minutes(30)));
  Duration pause = code.interval;
  while (std::chrono::steady_clock::now() < deadline) {
    if (!co_await net::sleep_for(pause)) break;
    bool slow_down = false;
    OJ_CO_TRY(auto tokens, co_await provider.poll(code.device_code, slow_down));
    if (tokens) co_return std::move(*tokens);
    if (slow_down) pause += std::chrono::seconds(5);
  }
  co_return fail(Errc::deadline_exceeded, "login.timeout", "nobody entered the code in time",
                 "run `oddjob login` again");
}

bool has_browser(const Environment& environment) {
  for (const char* name : {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"})
    if (!variable(environment, name).empty()) return true;
  return false;
}

bool open_browser(const Environment& environment, const std::string& url) {
  std::string program = variable(environment, "BROWSER");
  if (program.empty() || program.find_first_of(" :%") != std::string::npos) program = "xdg-open";
  // It gets a terminal of its own: nothing of it may stand between our lines.
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  for (const int fd : {0, 1, 2}) posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::string address = url;
  char* argv[] = {program.data(), address.data(), nullptr};
  pid_t child = 0;
  const int error = posix_spawnp(&child, program.c_str(), &files, &attributes, argv, environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  return error == 0;
}

}  // namespace oddjob::cli
