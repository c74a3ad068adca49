#include "core/error.hpp"

namespace oddjob {

int http_status(Errc kind) noexcept {
  switch (kind) {
    case Errc::invalid_argument:
      return 400;
    case Errc::unauthenticated:
      return 401;
    case Errc::forbidden:
      return 403;
    case Errc::not_found:
      return 404;
    case Errc::already_exists:
    case Errc::conflict:
      return 409;
    case Errc::gone:
      return 410;
    case Errc::too_large:
      return 413;
    case Errc::failed_precondition:
      return 422;
    case Errc::rate_limited:
      return 429;
    case Errc::cancelled:
      return 499;
    case Errc::internal:
      return 500;
    case Errc::unsupported:
      return 501;
    case Errc::unavailable:
      return 503;
    case Errc::deadline_exceeded:
      return 504;
  }
  return 500;
}

std::string_view to_string(Errc kind) noexcept {
  switch (kind) {
    case Errc::invalid_argument:
      return "invalid_argument";
    case Errc::unauthenticated:
      return "unauthenticated";
    case Errc::forbidden:
      return "forbidden";
    case Errc::not_found:
      return "not_found";
    case Errc::already_exists:
      return "already_exists";
    case Errc::conflict:
      return "conflict";
    case Errc::gone:
      return "gone";
    case Errc::too_large:
      return "too_large";
    case Errc::failed_precondition:
      return "failed_precondition";
    case Errc::rate_limited:
      return "rate_limited";
    case Errc::cancelled:
      return "cancelled";
    case Errc::internal:
      return "internal";
    case Errc::unsupported:
      return "unsupported";
    case Errc::unavailable:
      return "unavailable";
    case Errc::deadline_exceeded:
      return "deadline_exceeded";
  }
  return "internal";
}

}  // namespace oddjob
