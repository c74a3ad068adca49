// An unmodified kubectl against the dev cluster, with its pods as processes.
// $ODDJOB_TEST_KUBECTL names another kubectl than that of the PATH.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <regex>

#include "core/text.hpp"
#include "support.hpp"

extern char** environ;

namespace oddjob::devcluster {
namespace {

std::string kubectl_program() {
  const char* named = std::getenv("ODDJOB_TEST_KUBECTL");
  return named != nullptr ? named : "kubectl";
}

struct Output {
  int status = -1;   // exit code; -1: not started, or killed at the deadline
  std::string text;  // stdout and stderr
};

// Runs kubectl to its end, with `input` on its stdin.
Output run_kubectl(const std::vector<std::string>& words, const std::string& kubeconfig,
                   const std::filesystem::path& home, const std::string& input, int seconds = 60) {
  int out[2], in[2];
  if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(in, O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, out[1], 2);
  std::vector<std::string> all{kubectl_program()},
      environment{"KUBECONFIG=" + kubeconfig, "HOME=" + home.string(), "EDITOR=sed -i s/hello/edited/"};
  all.insert(all.end(), words.begin(), words.end());
  for (char** e = environ; *e != nullptr; ++e)
    if (const std::string_view v(*e); !v.starts_with("KUBECONFIG=") && !v.starts_with("HOME=") &&
                                      !v.starts_with("EDITOR=") && !v.starts_with("KUBE_EDITOR="))
      environment.emplace_back(v);
  std::vector<char*> argv, envp;
  for (auto& w : all) argv.push_back(w.data());
  for (auto& e : environment) envp.push_back(e.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  Output result;
  if (failed == 0) {
    // Small enough for a pipe's buffer.
    EXPECT_EQ(::write(in[1], input.data(), input.size()), static_cast<ssize_t>(input.size()));
    ::close(in[1]);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    bool over = false, killed = false;
    while (!over) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now())
              .count();
      if (left <= 0 && !killed) {
        ::kill(pid, SIGKILL);
        killed = true;
      }
      pollfd fd{out[0], POLLIN, 0};
      ::poll(&fd, 1, killed ? 1000 : static_cast<int>(left));
      if (fd.revents == 0) {
        over = killed;
        continue;
      }
      char buffer[8192];
      const auto n = ::read(out[0], buffer, sizeof buffer);
      over = n <= 0;
      if (n > 0) result.text.append(buffer, static_cast<std::size_t>(n));
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (WIFEXITED(status) && !killed) result.status = WEXITSTATUS(status);
  } else {
    ::close(in[1]);
  }
  ::close(out[0]);
  return result;
}

constexpr std::string_view kWeb = R"(
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: busybox:1.36
        command: [sh, -c, "echo hello; exec sleep 3600"]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
)";

class KubectlTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto version = run_kubectl({"version", "--client", "-o", "json"}, "", folder.path, "");
    std::smatch minor;
    if (!std::regex_search(version.text, minor, std::regex("\"minor\": \"([0-9]+)")) ||
        std::stoi(minor[1]) < 27)
      GTEST_SKIP() << "no kubectl 1.27 or newer on the PATH";
    ClusterOptions options;
    options.directory = folder.path / "cluster";
    cluster = std::make_unique<Cluster>(loop, std::move(options));
    ASSERT_TRUE(cluster->start());
    thread = std::thread([this] { loop.run(); });
  }
  void TearDown() override {
    if (!thread.joinable()) return;
    struct End {
      static net::Task<> now(Cluster& c, net::Loop& l) {
        co_await c.stop();
        l.stop();
      }
    };
    loop.spawn("end of the test", End::now(*cluster, loop));
    thread.join();
    cluster.reset();
  }

  Output kubectl(const std::vector<std::string>& words, const std::string& input = {}, int seconds = 60) {
    return run_kubectl(words, cluster->kubeconfig_path(), folder.path, input, seconds);
  }
  // It works, and says this (a regular expression).
  std::string good(const std::vector<std::string>& words, const std::string& says,
                   const std::string& input = {}) {
    const auto got = kubectl(words, input);
    EXPECT_EQ(got.status, 0) << join(words, " ") << "\n" << got.text;
    EXPECT_TRUE(std::regex_search(got.text, std::regex(says)))
        << join(words, " ") << " should say /" << says << "/, but said:\n"
        << got.text;
    return got.text;
  }
  void bad(const std::vector<std::string>& words, const std::string& says, const std::string& input = {}) {
    const auto got = kubectl(words, input);
    EXPECT_NE(got.status, 0) << join(words, " ") << "\n" << got.text;
    EXPECT_NE(got.text.find(says), std::string::npos)
        << join(words, " ") << " should say \"" << says << "\", but said:\n"
        << got.text;
  }

  TempFolder folder;
  net::Loop loop;
  std::unique_ptr<Cluster> cluster;
  std::thread thread;
};

TEST_F(KubectlTest, FindsItsWay) {
  good({"version"}, "Server Version: v1\\.36\\.0");
  good({"cluster-info"}, "control plane");
  good({"api-versions"}, "batch/v1\n");
  good({"api-resources"}, "deployments +deploy +apps/v1 +true +Deployment");
  good({"get", "nodes", "-o", "wide"}, "dev +Ready");
  good({"get", "ns"}, "kube-system +Active");
  good({"auth", "whoami"}, "Username +admin\n.*system:masters");
  good({"auth", "can-i", "create", "jobs"}, "yes");
  good({"auth", "can-i", "--list"}, "\\*\\.\\*");
  bad({"auth", "can-i", "create", "jobs", "--as", "bob"}, "no");
  good({"explain", "job.spec.backoffLimit"}, "integer");
  good({"get", "configmap,sa", "-n", "kube-public"}, "configmap/kube-root-ca.crt[^]*serviceaccount/default");
}

TEST_F(KubectlTest, AppliesScalesRestartsAndDeletesADeployment) {
  const std::string web(kWeb);
  good({"apply", "-f", "-"}, "deployment.apps/web created\nservice/web created", web);
  good({"apply", "-f", "-"}, "deployment.apps/web unchanged", web);
  good({"rollout", "status", "deploy/web", "--timeout=30s"}, "successfully rolled out");
  good({"get", "deploy,rs,pods,svc"}, "deployment.apps/web +2/2 +2 +2 ");
  good({"get", "deploy", "-A"}, "NAMESPACE +NAME +READY +UP-TO-DATE +AVAILABLE +AGE\ndefault +web +2/2");
  good({"get", "pods", "-o", "wide", "-l", "app=web"},
       "NAME +READY +STATUS +RESTARTS +AGE +IP +NODE[^]*1/1 +Running +0");
  good({"get", "pods", "--field-selector", "status.phase=Running", "--sort-by", ".metadata.name", "-o",
        "name"},
       "^pod/web-\\w+-\\w+\npod/web-");
  bad({"get", "pods", "--field-selector", "spec.foo=x"}, "field label not supported: spec.foo");
  good({"describe", "deploy", "web"}, "Replicas: +2 desired \\| 2 updated \\| 2 total \\| 2 available");
  good({"logs", "deploy/web"}, "hello");
  good({"scale", "deploy/web", "--replicas=1"}, "scaled");
  good({"wait", "--for=jsonpath={.status.readyReplicas}=1", "deploy/web", "--timeout=30s"}, "condition met");
  good({"rollout", "restart", "deploy/web"}, "restarted");
  good({"rollout", "status", "deploy/web", "--timeout=30s"}, "successfully rolled out");
  good({"label", "deploy/web", "a=b"}, "labeled");
  good({"annotate", "deploy/web", "x=y"}, "annotated");
  good({"get", "deploy", "-l", "a in (b,c)", "-o", "jsonpath={.items[*].metadata.annotations.x}"}, "^y$");
  good({"get", "deploy", "web", "-o", "custom-columns=R:.spec.replicas"}, "R\n1\n");
  good({"patch", "deploy", "web", "-p",
        R"({"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"b"}]}]}}}})"},
       "patched");
  good({"get", "deploy", "web", "-o", "yaml"}, "image: busybox:1.36");
  good({"patch", "deploy", "web", "--type=json", "-p",
        R"([{"op":"replace","path":"/spec/replicas","value":2}])"},
       "patched");
  good({"patch", "deploy", "web", "--type=merge", "-p", R"({"spec":{"replicas":1}})"}, "patched");
  good({"edit", "deploy", "web"}, "edited");
  good({"get", "deploy", "web", "-o", "json"}, "echo edited");
  good({"delete", "-f", "-", "--timeout=30s"}, "deployment.apps \"web\" deleted", web);
  good({"wait", "--for=delete", "pod", "-l", "app=web", "--timeout=30s"}, "");
  good({"get", "pods,rs"}, "No resources found");
}

TEST_F(KubectlTest, RunsJobsAndFollowsTheirLogs) {
  good({"create", "job", "fast", "--image=busybox", "--", "sh", "-c", "echo one; echo two"},
       "job.batch/fast created");
  good({"wait", "--for=condition=complete", "job/fast", "--timeout=30s"}, "condition met");
  good({"logs", "job/fast"}, "^one\ntwo\n$");
  good({"get", "jobs"}, "NAME +STATUS +COMPLETIONS +DURATION +AGE\nfast +Complete +1/1");
  good({"describe", "job", "fast"},
       "0 Active \\(0 Ready\\) / 1 Succeeded / 0 Failed[^]*SuccessfulCreate[^]*Completed");
  good({"create", "job", "slow", "--image=busybox", "--", "sh", "-c",
        "for i in 1 2 3; do echo line $i; sleep 0.3; done"},
       "created");
  good({"logs", "-f", "job/slow", "--pod-running-timeout=30s"}, "^line 1\nline 2\nline 3\n$");
  good({"create", "cronjob", "nightly", "--image=busybox", "--schedule=0 3 * * *", "--", "echo", "night"},
       "created");
  good({"create", "job", "--from=cronjob/nightly", "now"}, "job.batch/now created");
  good({"wait", "--for=condition=complete", "job/now", "--timeout=30s"}, "met");
  good({"events"}, "Normal +SuccessfulCreate +Job/fast +Created pod: fast-");
  good({"run", "once", "--image=busybox", "--restart=Never", "--", "sh", "-c", "exit 3"}, "created");
  good({"wait", "--for=jsonpath={.status.phase}=Failed", "pod/once", "--timeout=30s"}, "met");
  good({"get", "pod", "once"}, "once +0/1 +Error +0");
  good({"get", "pod", "once", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"},
       "^3$");
  good({"delete", "job", "fast", "slow", "now", "--wait"}, "job.batch \"fast\" deleted");
  good({"wait", "--for=delete", "pod", "-l", "batch.kubernetes.io/job-name=fast", "--timeout=30s"}, "");
  bad({"get", "job", "fast"}, "Error from server (NotFound): jobs.batch \"fast\" not found");
}

TEST_F(KubectlTest, SaysWhatARealServerSaysOfMistakes) {
  const auto job = [](const std::string& spec) {
    return R"({"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"x"},"spec":{"template":{"spec":)" +
           spec + "}}}";
  };
  bad({"create", "-f", "-"},
      "The Job \"x\" is invalid: spec.template.spec.restartPolicy: Required value: valid values: "
      "\"OnFailure\", \"Never\"",
      job(R"({"containers":[{"name":"c","image":"b"}]})"));
  bad({"apply", "-f", "-"}, "strict decoding error: unknown field \"spec.template.spec.restartPolisy\"",
      job(R"({"restartPolisy":"Never","containers":[{"name":"c","image":"b"}]})"));
  bad({"apply", "-f", "-"},
      "cannot unmarshal number into Go struct field Container.spec.template.spec.containers[0].image of type "
      "string",
      job(R"({"containers":[{"name":"c","image":3}]})"));
  bad({"create", "configmap", "Bad"}, "a lowercase RFC 1123 subdomain must consist of");
  bad({"create", "job", "x", "--image=b", "-n", "nope", "--", "true"}, "namespaces \"nope\" not found");
  bad({"get", "foo"}, "the server doesn't have a resource type \"foo\"");
  good({"create", "configmap", "c", "--from-literal=a=b"}, "configmap/c created");
  bad({"create", "configmap", "c"}, "configmaps \"c\" already exists");
  bad({"delete", "ns", "default"}, "this namespace may not be deleted");
}

TEST_F(KubectlTest, AppliesOnTheServersSideWithConflicts) {
  const std::string one =
      R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"s"},"data":{"a":"1","b":"2"}})";
  const std::string two =
      R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"s"},"data":{"a":"3"}})";
  good({"apply", "--server-side", "-f", "-"}, "serverside-applied", one);
  good({"patch", "cm", "s", "--type=merge", "-p", R"({"data":{"a":"9"}})"}, "patched");
  bad({"apply", "--server-side", "-f", "-"}, "conflict with \"kubectl-patch\" using v1: .data.a", two);
  good({"apply", "--server-side", "--force-conflicts", "-f", "-"}, "serverside-applied", two);
  good({"get", "cm", "s", "-o", "jsonpath={.data}"}, R"(^\{"a":"3"\}$)");
  good({"apply", "--server-side", "--dry-run=server", "-f", "-"}, "serverside-applied \\(server dry run\\)",
       one);
  good({"get", "cm", "s", "-o", "jsonpath={.data}"}, R"(^\{"a":"3"\}$)");
}

TEST_F(KubectlTest, WatchesTables) {
  std::string seen;
  std::thread watching([&] { seen = kubectl({"get", "cm", "-w", "--request-timeout=5s"}, "", 30).text; });
  // Created until it is seen there: the watch may begin at any moment.
  good({"create", "configmap", "w", "--from-literal=a=b"}, "created");
  good({"patch", "cm", "w", "--type=merge", "-p", R"({"data":{"c":"d"}})"}, "patched");
  watching.join();
  EXPECT_TRUE(std::regex_search(seen, std::regex("NAME +DATA +AGE\n"))) << seen;
  EXPECT_TRUE(std::regex_search(seen, std::regex("\nw +2 "))) << seen;
}

TEST_F(KubectlTest, TakesCustomResources) {
  good({"apply", "-f", "-"}, "created", R"(
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, required: [size], properties: {size: {type: integer, description: How large.}}}, status: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
)");
  good({"wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s"}, "condition met");
  good({"create", "-f", "-"}, "widget.example.com/w created",
       R"({"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":3}})");
  good({"patch", "wd", "w", "--subresource=status", "--type=merge", "-p",
        R"({"status":{"conditions":[{"type":"Ready","status":"True"}]}})"},
       "patched");
  good({"get", "wd"}, "NAME +SIZE +READY\nw +3 +True");
  good({"explain", "widget.spec.size"}, "How large");
  bad({"create", "-f", "-"}, "spec.size: Required value",
      R"({"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"v"},"spec":{}})");
  good({"delete", "crd", "widgets.example.com"}, "deleted");
}

TEST_F(KubectlTest, NamespacesGoWithAllThatIsInThem) {
  good({"create", "ns", "team"}, "created");
  good({"create", "sa", "bot", "-n", "team"}, "created");
  good({"create", "token", "bot", "-n", "team"}, "^dev\\.");
  good({"create", "secret", "generic", "s", "--from-literal=k=v", "-n", "team"}, "created");
  good({"get", "secret", "s", "-n", "team", "-o", "jsonpath={.data.k}"}, "^dg==$");
  good({"create", "role", "r", "--verb=get,list", "--resource=pods", "-n", "team"}, "created");
  good({"create", "rolebinding", "r", "--role=r", "--serviceaccount=team:bot", "-n", "team"}, "created");
  good({"auth", "can-i", "list", "pods", "-n", "team", "--as=system:serviceaccount:team:bot"}, "yes");
  bad({"get", "pods", "--as=system:serviceaccount:team:bot"},
      "cannot list resource \"pods\" in API group \"\" in the namespace \"default\"");
  good({"run", "p", "-n", "team", "--image=b", "--grace-period=1", "--", "sleep", "600"}, "created");
  good({"delete", "ns", "team", "--timeout=40s"}, "deleted");
  bad({"get", "ns", "team"}, "not found");
}

}  // namespace
}  // namespace oddjob::devcluster
