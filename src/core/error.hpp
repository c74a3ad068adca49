// Errors as values.
//
// Every fallible function in OddJob returns Result<T>. An Error carries a kind
// (what a caller may do about it), a stable machine-readable code (what a test
// or a client may match on), a sentence for a person, and context added on the
// way up ("reading kubeconfig /home/a/.kube/config").
//
// Thread safety: plain values.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oddjob {

// What a caller can do about it; maps to one HTTP status each (http_status()).
enum class Errc {
  invalid_argument,     // 400: the input is wrong; the same input fails again
  unauthenticated,      // 401: who are you?
  forbidden,            // 403: known, but not allowed
  not_found,            // 404
  already_exists,       // 409: something else has that name
  conflict,             // 409: changed meanwhile; read again and retry
  gone,                 // 410: a resource version or cursor is too old
  too_large,            // 413: over a size limit
  failed_precondition,  // 422: well-formed, but the state of things refuses it
  rate_limited,         // 429: later; see Error::retry_after_seconds
  cancelled,            // 499: the caller went away
  internal,             // 500: a bug or a broken invariant
  unsupported,          // 501
  unavailable,          // 503: a peer or a disk is down; retrying may help
  deadline_exceeded,    // 504
};

struct Error {
  Errc kind = Errc::internal;
  std::string code;             // stable, dotted, lower case: "policy.no_annotation"
  std::string message;          // one sentence: what, where; never a secret
  std::string hint;             // what to do next; may be empty
  int retry_after_seconds = 0;  // only with rate_limited/unavailable; 0: unknown

  // Prepends "where: " to the message; for use while an error travels up.
  [[nodiscard]] Error with_context(std::string_view where) && {
    message = std::string(where) + ": " + message;
    return std::move(*this);
  }
  [[nodiscard]] Error with_context(std::string_view where) const& { return Error(*this).with_context(where); }
  [[nodiscard]] Error with_hint(std::string_view text) && {
    hint = text;
    return std::move(*this);
  }
  friend bool operator==(const Error&, const Error&) = default;
};

template <class T = void>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(Errc kind, std::string code, std::string message,
                                                 std::string hint = {}) {
  return std::unexpected(Error{kind, std::move(code), std::move(message), std::move(hint), 0});
}
[[nodiscard]] inline std::unexpected<Error> fail(Error e) { return std::unexpected(std::move(e)); }

// The HTTP status that OddJob's API answers with for this kind.
[[nodiscard]] int http_status(Errc kind) noexcept;
// Lower-case word for the kind: "not_found".
[[nodiscard]] std::string_view to_string(Errc kind) noexcept;

}  // namespace oddjob

// Early return of an error. OJ_TRY for plain functions, OJ_CO_TRY in coroutines:
//   OJ_TRY(auto port, parse_port(text));
//   OJ_CO_TRY(auto pod, co_await client.get(ref));
//   OJ_CHECK(validate(x));              // Result<void>
#define OJ_CONCAT_INNER(a, b) a##b
#define OJ_CONCAT(a, b) OJ_CONCAT_INNER(a, b)
#define OJ_TRY_IMPL(tmp, decl, expr, ret)                \
  auto tmp = (expr);                                     \
  if (!tmp) ret std::unexpected(std::move(tmp).error()); \
  decl = std::move(*tmp)
#define OJ_TRY(decl, expr) OJ_TRY_IMPL(OJ_CONCAT(oj_try_, __LINE__), decl, expr, return )
#define OJ_CO_TRY(decl, expr) OJ_TRY_IMPL(OJ_CONCAT(oj_try_, __LINE__), decl, expr, co_return )
#define OJ_CHECK_IMPL(tmp, expr, ret) \
  if (auto tmp = (expr); !tmp) ret std::unexpected(std::move(tmp).error())
#define OJ_CHECK(expr) OJ_CHECK_IMPL(OJ_CONCAT(oj_chk_, __LINE__), expr, return )
#define OJ_CO_CHECK(expr) OJ_CHECK_IMPL(OJ_CONCAT(oj_chk_, __LINE__), expr, co_return )
