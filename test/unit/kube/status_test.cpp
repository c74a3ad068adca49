#include "kube/status.hpp"

#include <gtest/gtest.h>

#include "kube/paths.hpp"

namespace oddjob::kube {
namespace {

std::string status_body(int code, std::string_view reason, std::string_view message) {
  const json::object s{{"kind", "Status"},   {"apiVersion", "v1"}, {"status", "Failure"},
                       {"message", message}, {"reason", reason},   {"code", code}};
  return json::serialize(s);
}

struct Case {
  std::string name;
  int status;
  std::string reason, message;
  Errc kind;
  std::string code;
};
class StatusMapping : public ::testing::TestWithParam<Case> {};
TEST_P(StatusMapping, GivesTheServersOwnWordsAndAStableCode) {
  const Case& c = GetParam();
  const Error e = error_from_answer("POST /apis/batch/v1/namespaces/shop/jobs", c.status, {},
                                    status_body(c.status, c.reason, c.message));
  EXPECT_EQ(e.kind, c.kind);
  EXPECT_EQ(e.code, c.code);
  EXPECT_NE(e.message.find(c.message), std::string::npos) << e.message;
}

// Messages as API servers write them.
INSTANTIATE_TEST_SUITE_P(
    All, StatusMapping,
    ::testing::Values(
        Case{"bad_request", 400, "BadRequest",
             "container \"x\" in pod \"y\" is waiting to start: ContainerCreating", Errc::invalid_argument,
             "kube.invalid"},
        Case{"invalid", 422, "Invalid",
             "Job.batch \"x\" is invalid: spec.template.spec.restartPolicy: Required value",
             Errc::failed_precondition, "kube.invalid"},
        Case{"unauthorized", 401, "Unauthorized", "Unauthorized", Errc::unauthenticated, "kube.unauthorized"},
        Case{"rbac", 403, "Forbidden",
             "jobs.batch is forbidden: User \"system:serviceaccount:oddjob:oddjob\" cannot create resource "
             "\"jobs\" in "
             "API group \"batch\" in the namespace \"shop\"",
             Errc::forbidden, "kube.forbidden"},
        Case{"quota", 403, "Forbidden",
             "pods \"x\" is forbidden: exceeded quota: compute, requested: requests.cpu=2, used: "
             "requests.cpu=9, "
             "limited: requests.cpu=10",
             Errc::forbidden, "kube.quota"},
        Case{"quota_needs_limits", 403, "Forbidden",
             "pods \"x\" is forbidden: failed quota: compute: must specify limits.cpu for: main",
             Errc::forbidden, "kube.quota"},
        Case{"pod_security", 403, "Forbidden",
             "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation "
             "!= false",
             Errc::forbidden, "kube.admission"},
        Case{"limit_range", 403, "Forbidden",
             "pods \"x\" is forbidden: maximum memory usage per Container is 256Mi, but limit is 1Gi",
             Errc::forbidden, "kube.admission"},
        Case{"limit_ranges", 403, "Forbidden",
             "pods \"x\" is forbidden: [minimum cpu usage per Pod is 1, but request is 10m, cpu max limit to "
             "request ratio per Container is 2, but provided ratio is 3.000000]",
             Errc::forbidden, "kube.admission"},
        Case{"webhook", 403, "Forbidden",
             "admission webhook \"gatekeeper.sh\" denied the request: no latest tag", Errc::forbidden,
             "kube.admission"},
        Case{"webhook_400", 400, "BadRequest",
             "admission webhook \"v.kyverno.svc\" denied the request: resource blocked", Errc::forbidden,
             "kube.admission"},
        Case{"policy_422", 422, "Invalid",
             "jobs.batch \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "
             "no",
             Errc::forbidden, "kube.admission"},
        Case{"not_found", 404, "NotFound", "jobs.batch \"x\" not found", Errc::not_found, "kube.not_found"},
        Case{"exists", 409, "AlreadyExists", "jobs.batch \"x\" already exists", Errc::already_exists,
             "kube.already_exists"},
        Case{"conflict", 409, "Conflict",
             "Operation cannot be fulfilled on jobs.batch \"x\": the object has been modified",
             Errc::conflict, "kube.conflict"},
        Case{"expired", 410, "Expired", "The resourceVersion for the provided watch is too old.", Errc::gone,
             "kube.expired"},
        Case{"throttled", 429, "TooManyRequests", "too many requests, please try again later",
             Errc::rate_limited, "kube.too_many_requests"},
        Case{"webhook_down", 500, "InternalError",
             "Internal error occurred: failed calling webhook \"x\": connection refused", Errc::unavailable,
             "kube.server_error"},
        Case{"unavailable", 503, "ServiceUnavailable", "the server is currently unable to handle the request",
             Errc::unavailable, "kube.server_error"}),
    [](const auto& i) { return i.param.name; });

TEST(Status, MessagesThatNameNothingAreGivenTheCall) {
  const Error e =
      error_from_answer("GET /api/v1/pods", 401, {}, status_body(401, "Unauthorized", "Unauthorized"));
  EXPECT_EQ(e.message, "GET /api/v1/pods: Unauthorized");
}

TEST(Status, AWebhooksParagraphsBecomeOneLine) {
  const Error e = error_from_answer(
      "POST /x", 403, {},
      status_body(403, "Forbidden", "admission webhook \"k\" denied the request: \n\n  no\n"));
  EXPECT_EQ(e.message, "admission webhook \"k\" denied the request: no");
}

TEST(Status, HtmlOfAProxyIsNamedAndCutShort) {
  net::Headers h;
  h.add("Content-Type", "text/html");
  const Error e = error_from_answer("GET /api/v1/pods", 502, h,
                                    "<html>\n\n <body>Bad   Gateway\x1b[31m</body>" + std::string(9000, 'x'));
  EXPECT_EQ(e.code, "kube.server_error");
  EXPECT_NE(e.message.find("502"), std::string::npos);
  EXPECT_NE(e.message.find("text/html"), std::string::npos);
  EXPECT_NE(e.message.find("Bad Gateway"), std::string::npos);
  EXPECT_EQ(e.message.find('\x1b'), std::string::npos);
  EXPECT_LT(e.message.size(), 400U);
}

TEST(Status, RetryAfterOfHeaderOrBodyIsKept) {
  net::Headers h;
  h.add("Retry-After", "7");
  EXPECT_EQ(
      error_from_answer("GET /x", 429, h, status_body(429, "TooManyRequests", "slow")).retry_after_seconds,
      7);
  EXPECT_EQ(
      error_from_answer(
          "GET /x", 429, {},
          R"({"kind":"Status","reason":"TooManyRequests","message":"m","details":{"retryAfterSeconds":3}})")
          .retry_after_seconds,
      3);
  net::Headers odd;
  odd.add("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT");
  EXPECT_EQ(retry_after_seconds(odd), 0);
}

TEST(Paths, AreBuiltByGroupAndScope) {
  EXPECT_EQ(resource_path(resources::pods, "shop", "p", "log").value(), "/api/v1/namespaces/shop/pods/p/log");
  EXPECT_EQ(resource_path(resources::jobs, "").value(), "/apis/batch/v1/jobs");
  EXPECT_EQ(resource_path(resources::namespaces, "", "shop").value(), "/api/v1/namespaces/shop");
  EXPECT_EQ(resource_path(resources::token_reviews, "").value(),
            "/apis/authentication.k8s.io/v1/tokenreviews");
}

TEST(Paths, NamesThatWouldLeaveTheirSegmentAreRefused) {
  for (const std::string_view bad : {"../secrets/x", "..", ".", "a/b", "a%2fb"})
    EXPECT_FALSE(resource_path(resources::pods, "shop", bad)) << bad;
  EXPECT_FALSE(resource_path(resources::pods, "a/b", "x"));
  EXPECT_FALSE(resource_path(resources::pods, "", "x")) << "a name needs its namespace";
}

}  // namespace
}  // namespace oddjob::kube
