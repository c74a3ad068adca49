#include "cli/login/session.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <thread>

#include "cli/login/keyring.hpp"
#include "core/digest.hpp"
#include "core/json.hpp"
#include "fs/files.hpp"

namespace oddjob::cli {
namespace {

constexpr std::size_t kMaxSession = 2U << 20U;

std::string variable(const Environment& environment, const char* name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string{} : found->second;
}

Result<> make_folder(const std::string& path) {
  std::error_code error;
  const auto folder = std::filesystem::path(path).parent_path();
  if (std::filesystem::create_directories(folder, error)) ::chmod(folder.c_str(), 0700);
  if (error)
    return fail(Errc::unavailable, "file.unwritable",
                fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
  return {};
}

// A file that others can read has shown its tokens; one that others own could be a trap.
Result<bool> check_private(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return false;
    return fail(Errc::unavailable, "cli.session_unsafe",
                fmt::format("cannot look at {}: {}", path, std::generic_category().message(errno)));
  }
  if (!S_ISREG(st.st_mode) || st.st_uid != ::geteuid() || (st.st_mode & 077U) != 0)
    return fail(Errc::failed_precondition, "cli.session_unsafe",
                fmt::format("the session in {} can be read or changed by others", path),
                "delete it and run `oddjob login`; it must be your own file with mode 0600");
  return true;
}

void take_tokens(LoginSession& s, const json::value& v) {
  s.id_token = get_string(v, {"idToken"});
  s.refresh_token = get_string(v, {"refreshToken"});
}

// As the file has it: without tokens where a keyring has them.
Result<std::optional<LoginSession>> read_file(const std::string& path) {
  OJ_TRY(const bool there, check_private(path));
  if (!there) return std::nullopt;
  OJ_TRY(const auto text, fs::read_file(path, kMaxSession, "cli.session_malformed"));
  const auto v = parse_json(text, path, kMaxSession);
  LoginSession s;
  if (v) {
    for (auto [field, key] : {std::pair{&s.server, "server"},
                              {&s.issuer, "issuer"},
                              {&s.client_id, "clientId"},
                              {&s.ca_pem, "caPem"},
                              {&s.client_secret, "clientSecret"},
                              {&s.credential_helper, "credentialHelper"}})
      *field = get_string(*v, {key});
    take_tokens(s, *v);
    if (const auto* scopes = find_array(*v, {"scopes"}))
      for (const auto& scope : *scopes)
        if (scope.is_string()) s.scopes.emplace_back(sv(scope.get_string()));
  }
  const auto expires = v ? parse_time(get_string(*v, {"expires"})) : Result<Time>(Time{});
  if (!v || !expires || s.server.empty() || s.issuer.empty() || s.client_id.empty() ||
      (s.id_token.empty() && s.credential_helper.empty()))
    return fail(Errc::failed_precondition, "cli.session_malformed",
                fmt::format("the session in {} cannot be read", path), "run `oddjob login`");
  s.expires = *expires;
  return s;
}

// Takes it out of the keyring, where it is in one.
Result<> forget(const LoginSession& s, const Environment& environment) {
  if (s.credential_helper.empty()) return {};
  OJ_TRY(const auto keyring, Keyring::named(s.credential_helper, environment));
  return keyring.erase(s.server);
}

}  // namespace

std::string session_path(const Environment& environment, std::string_view server) {
  auto base = variable(environment, "XDG_STATE_HOME");
  if (!base.starts_with('/')) base = variable(environment, "HOME") + "/.local/state";
  return fmt::format("{}/oddjob/sessions/{}.json", base, sha256_hex(server).substr(0, 32));
}

Result<std::optional<LoginSession>> load_session(const std::string& path, const Environment& environment) {
  OJ_TRY(auto found, read_file(path));
  if (!found || found->credential_helper.empty()) return found;
  OJ_TRY(const auto keyring, Keyring::named(found->credential_helper, environment));
  OJ_TRY(const auto secret, keyring.get(found->server));
  const auto v =
      secret ? parse_json(*secret, "the keyring's answer", kMaxSession) : Result<json::value>(nullptr);
  if (v) take_tokens(*found, *v);
  if (found->id_token.empty())
    return fail(Errc::unauthenticated, "cli.session_lost",
                fmt::format("the keyring of docker-credential-{} has no session with {}",
                            found->credential_helper, found->server),
                "run `oddjob login`");
  return found;
}

Result<> save_session(const std::string& path, const LoginSession& s, const Environment& environment) {
  OJ_CHECK(make_folder(path));
  const auto before = read_file(path);
  json::object tokens{{"idToken", s.id_token}, {"refreshToken", s.refresh_token}};
  json::object v{{"server", s.server},
                 {"issuer", s.issuer},
                 {"clientId", s.client_id},
                 {"scopes", json::array(s.scopes.begin(), s.scopes.end())},
                 {"caPem", s.ca_pem},
                 {"clientSecret", s.client_secret},
                 {"expires", format_time(s.expires)}};
  if (s.credential_helper.empty()) {
    v.insert(tokens.begin(), tokens.end());
  } else {
    OJ_TRY(const auto keyring, Keyring::named(s.credential_helper, environment));
    OJ_CHECK(keyring.store(s.server, json::serialize(tokens)));
    v["credentialHelper"] = s.credential_helper;
  }
  OJ_CHECK(fs::write_private_file(path, pretty_json(v)));
  if (before && *before && (*before)->credential_helper != s.credential_helper)
    if (auto forgotten = forget(**before, environment); !forgotten)
      return fail(std::move(forgotten.error())
                      .with_context("the new session is kept, but an earlier one stays in its keyring"));
  return {};
}

Result<bool> remove_session(const std::string& path, const Environment& environment) {
  const auto session = read_file(path);
  if (::unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return false;
    return fail(Errc::unavailable, "file.unwritable",
                fmt::format("cannot delete {}: {}", path, std::generic_category().message(errno)));
  }
  if (session && *session) OJ_CHECK(forget(**session, environment));
  return true;
}

Result<SessionLock> SessionLock::take(const std::string& path,
                                      std::chrono::steady_clock::time_point deadline) {
  OJ_CHECK(make_folder(path));
  const std::string file = path + ".lock";
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return fail(Errc::unavailable, "file.unwritable",
                fmt::format("cannot open {}: {}", file, std::generic_category().message(errno)));
  SessionLock lock(fd);
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= deadline)
      return fail(Errc::unavailable, "cli.session_busy",
                  fmt::format("another oddjob holds {} and does not let go of it", file),
                  "is one of them waiting for the identity provider?");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return lock;
}

SessionLock::~SessionLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace oddjob::cli
