// oddjob login, oddjob logout
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/command.hpp"
#include "cli/login/flows.hpp"
#include "cli/login/keyring.hpp"
#include "cli/login/provider.hpp"
#include "cli/login/renew.hpp"
#include "cli/login/session.hpp"
#include "core/text.hpp"

namespace oddjob::cli {
namespace {

constexpr std::size_t kMaxAnswer = 4U << 20U;

struct LoginFlags {
  bool device = false, browser = false;
  int port = 0;
  std::string issuer, timeout = "5m", credential_helper;
};

// A token of the company must not follow what somebody on the way answers.
Result<> check_server(const std::string& server) {
  OJ_TRY(const auto url, net::parse_url(server));
  const bool here = url.host == "127.0.0.1" || url.host == "localhost" || url.host == "::1";
  if (url.scheme == "https" || here) return {};
  return fail(
      Errc::failed_precondition, "login.no_tls",
      fmt::format("{} is reached without TLS; a login there could be read and used by others", server),
      "use the https:// address of the server");
}

net::Task<Result<std::vector<LoginIssuer>>> issuers_of(net::HttpClient& http, const Settings& settings) {
  net::HttpRequest request;
  request.url = settings.server + "/api/v1/login";
  request.max_body = kMaxAnswer;
  OJ_CO_TRY(const auto answer, co_await http.fetch(std::move(request)));
  if (answer.status != 200) co_return fail(error_of_answer(answer));
  OJ_CO_TRY(const auto v, parse_json(answer.body, "the server's answer", kMaxAnswer));
  std::vector<LoginIssuer> out;
  if (const auto* list = find_array(v, {"issuers"}))
    for (const auto& item : *list) {
      LoginIssuer l;
      l.issuer = get_string(item, {"issuer"});
      l.client_id = get_string(item, {"clientId"});
      l.ca_pem = get_string(item, {"caPem"});
      l.client_secret = get_string(item, {"clientSecret"});
      if (const auto* parameters = find_object(item, {"parameters"}))
        for (const auto& [name, value] : *parameters)
          if (value.is_string()) l.parameters.emplace(name, sv(value.get_string()));
      if (const auto* scopes = find_array(item, {"scopes"}))
        for (const auto& s : *scopes)
          if (s.is_string()) l.scopes.emplace_back(sv(s.get_string()));
      out.push_back(std::move(l));
    }
  co_return out;
}

Result<LoginIssuer> chosen(const std::vector<LoginIssuer>& all, const std::string& wanted,
                           const Settings& settings) {
  if (all.empty())
    return fail(Errc::unsupported, "login.not_configured",
                fmt::format("{} has no identity provider to log in at", settings.server),
                "set ODDJOB_TOKEN, or ask whoever runs it to configure auth.oidc with a clientId");
  if (wanted.empty() && all.size() == 1) return all.front();
  std::vector<std::string> known;
  for (const auto& l : all) {
    if (l.issuer == wanted) return l;
    known.push_back(l.issuer);
  }
  return fail(Errc::invalid_argument, "login.which_issuer",
              wanted.empty()
                  ? fmt::format("{} has several identity providers", settings.server)
                  : fmt::format("{} has no identity provider '{}'", settings.server, printable(wanted, 200)),
              "give one of them with --issuer: " + join(known, ", "));
}

net::Task<Result<json::value>> whoami(net::HttpClient& http, const Settings& settings,
                                      const std::string& token) {
  net::HttpRequest request;
  request.url = settings.server + "/api/v1/whoami";
  request.headers.set("Authorization", "Bearer " + token);
  request.max_body = kMaxAnswer;
  OJ_CO_TRY(const auto answer, co_await http.fetch(std::move(request)));
  if (answer.status != 200) {
    auto e = error_of_answer(answer);
    co_return fail(std::move(e).with_context("logged in, but the OddJob server does not accept it"));
  }
  co_return parse_json(answer.body, "the server's answer", kMaxAnswer);
}

net::Task<Result<int>> login(net::Loop& loop, Invocation& i, Settings settings, LoginFlags flags) {
  OJ_CO_CHECK(check_server(settings.server));
  OJ_CO_TRY(auto http_options, ApiClient::http_options(settings));
  net::HttpClient http(loop, std::move(http_options));
  OJ_CO_TRY(const auto all, co_await issuers_of(http, settings));
  OJ_CO_TRY(const auto issuer, chosen(all, flags.issuer, settings));
  OJ_CO_TRY(auto provider, co_await Provider::find(loop, issuer));
  LoginOptions options;
  options.port = flags.port;
  OJ_CO_TRY(options.timeout, parse_duration(flags.timeout));
  if (!flags.credential_helper.empty()) {  // before anybody logs in for nothing
    OJ_CO_TRY(const auto keyring, Keyring::named(flags.credential_helper, i.environment));
    OJ_CO_CHECK(keyring.get(settings.server));
  }
  options.say = [](const std::string& text) { write_err(text); };
  const bool browser = has_browser(i.environment);
  if (browser) options.open = [&i](const std::string& url) { (void)open_browser(i.environment, url); };
  const bool device = flags.device || (!flags.browser && !browser && provider->has_device_flow());
  Result<Tokens> tokens = fail(Errc::internal, "login.none", "no login was tried");
  if (device)
    tokens = co_await login_by_device(*provider, options);
  else
    tokens = co_await login_in_browser(loop, *provider, options);
  if (!tokens) co_return fail(std::move(tokens.error()));
  OJ_CO_TRY(const auto me, co_await whoami(http, settings, tokens->id_token));

  LoginSession session{settings.server,
                       issuer.issuer,
                       issuer.client_id,
                       issuer.scopes,
                       issuer.ca_pem,
                       issuer.client_secret,
                       std::move(tokens->id_token),
                       std::move(tokens->refresh_token),
                       tokens->expires,
                       flags.credential_helper};
  const auto path = session_path(i.environment, settings.server);
  OJ_CO_TRY(const auto lock,
            SessionLock::take(path, std::chrono::steady_clock::now() + std::chrono::seconds(40)));
  OJ_CO_CHECK(save_session(path, session, i.environment));
  if (i.format() == Format::json || i.format() == Format::yaml)
    print_value(me, i.format());
  else
    write_out(
        fmt::format("Logged in to {} as {}\n", settings.server, printable(get_string(me, {"user"}), 300)));
  if (!settings.token.empty() || !settings.token_file.empty() || settings.auth_kubeconfig)
    write_err(
        "Note: a token is configured as well (ODDJOB_TOKEN, ODDJOB_TOKEN_FILE, --token-file or the context), "
        "and is used instead of this login.\n");
  co_return 0;
}

net::Task<Result<int>> logout(net::Loop& loop, Invocation& i, Settings settings) {
  const auto path = session_path(i.environment, settings.server);
  OJ_CO_TRY(const auto lock,
            SessionLock::take(path, std::chrono::steady_clock::now() + std::chrono::seconds(40)));
  const auto session = load_session(path, i.environment);
  OJ_CO_TRY(const bool was, remove_session(path, i.environment));
  if (!was) {
    write_out(fmt::format("There is no session with {}\n", settings.server));
    co_return 0;
  }
  // Gone here whatever happens there.
  if (session && *session && !(*session)->refresh_token.empty()) {
    auto provider = co_await Provider::find(loop, issuer_of(**session));
    Result<> revoked = provider ? Result<>{} : Result<>(std::unexpected(provider.error()));
    if (provider) revoked = co_await (*provider)->revoke((*session)->refresh_token);
    if (!revoked)
      write_err(fmt::format("Note: the session is deleted here, but {} was not told: {}\n",
                            (*session)->issuer, revoked.error().message));
  }
  write_out(fmt::format("Logged out of {}\n", settings.server));
  co_return 0;
}

int with_loop(Invocation& i, const std::function<net::Task<Result<int>>(net::Loop&, Settings)>& work) {
  auto settings = i.settings();
  if (!settings) {
    print_error(settings.error());
    return kOwnFailure;
  }
  net::Loop loop;
  const auto code = loop.block_on(work(loop, std::move(*settings)));
  if (code) return *code;
  print_error(code.error());
  return kOwnFailure;
}

}  // namespace

void add_login(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("login", "Log in at the server's identity provider")->fallthrough();
  const auto flags = std::make_shared<LoginFlags>();
  auto* device = command->add_flag("--device", flags->device, "With a code, in a browser on another device");
  command->add_flag("--browser", flags->browser, "In a browser on this machine, also where none is found")
      ->excludes(device);
  command->add_option("--issuer", flags->issuer, "The identity provider, where the server has several");
  command
      ->add_option("--port", flags->port,
                   "Port of the redirect on 127.0.0.1, where the provider wants a fixed one")
      ->check(CLI::Range(1, 65535));
  command
      ->add_option(
          "--credential-helper", flags->credential_helper,
          "Keep the tokens in a keyring, by the program docker-credential-NAME (secretservice, pass, …)")
      ->envname("ODDJOB_CREDENTIAL_HELPER")
      ->type_name("NAME");
  command->add_option("--timeout", flags->timeout, "How long to wait for the browser (5m)");
  command->callback([&invocation, flags] {
    invocation.action = [flags](Invocation& i) {
      return with_loop(i, [&](net::Loop& loop, Settings s) { return login(loop, i, std::move(s), *flags); });
    };
  });
}

void add_logout(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("logout", "Delete the session that `oddjob login` made")->fallthrough();
  command->callback([&invocation] {
    invocation.action = [](Invocation& i) {
      return with_loop(i, [&](net::Loop& loop, Settings s) { return logout(loop, i, std::move(s)); });
    };
  });
}

}  // namespace oddjob::cli
