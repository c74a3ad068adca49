"""A real Kubernetes cluster for tests: etcd, kube-apiserver, kube-controller-manager,
kube-scheduler and one kubelet whose pods run as processes of this machine.

In a test of test/e2e, take the fixture `real_cluster` (shared) or `own_real_cluster`
(to be broken). By hand:

    with Cluster(folder) as cluster:
        cluster.kubectl("get", "nodes")                 # as cluster-admin
        cluster.apply(manifest, ...); cluster.get("jobs", "x")
        cluster.kubeconfig, cluster.server, cluster.ca  # paths, and the URL
        cluster.user_kubeconfig("ann", ["team-a"])      # a user with a client certificate
        cluster.service_account_kubeconfig("ns", "name")
        cluster.token("ann")                            # a bearer token of USERS
        cluster.apiserver.kill(); cluster.apiserver.start()    # keeps its data and its port
        cluster.etcd.restart(); cluster.compact(); cluster.age()
        cluster.node.kill()                             # the node is gone with all its pods

As a program, it starts a cluster, sets KUBECONFIG and ODDJOB_TEST_KUBECONFIG for a
command, and ends with it:

    python3 test/kubernetes/cluster.py -- build/dev/bin/contract_test

Everything listens on free ports of loopback and keeps its files in the folder given.
All processes end when this one does, however it ends. $ODDJOB_TEST_KUBECONFIG names a
cluster to use instead (see `from_environment`): then nothing is started, and nothing
can be broken.
"""

import base64
import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "testing"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
import build  # noqa: E402
import pki  # noqa: E402
from processes import Kubectl, eventually  # noqa: E402

READY_SECONDS = 180
NODE = "localhost"   # the API server reaches the kubelet by this name
SERVICES = "10.96.0.0/16"
FRONT_PROXY = "front-proxy-client"
# Who may come with a bearer token, and the groups they are in.
USERS = {
    "admin": ["system:masters"],
    "ann": ["payments"],
    "bob": [],
    "eve": [],
}

# A process is ended by the kernel when the thread that started it ends, so all are
# started by one thread that lives as long as this program.
_starter = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="cluster")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Component:
    """One program of the cluster. It keeps its port and data over restarts."""

    def __init__(self, name, argv, log, ready=None):
        self.name, self.argv, self.log_path, self._ready = name, argv, pathlib.Path(log), ready
        self.child = None

    def start(self, wait=True):
        assert not self.alive(), f"{self.name} runs already"
        with self.log_path.open("ab") as out:
            argv = ["setpriv", "--pdeathsig", "KILL", "--", *self.argv]
            self.child = _starter.submit(lambda: subprocess.Popen(
                argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=self.log_path.parent)).result()
        if wait:
            self.wait_ready()
        return self

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def ready(self):
        if not self.alive():
            raise AssertionError(f"{self.name} ended with {self.child.returncode if self.child else None}: {self.log()[-4000:]}")
        return self._ready is None or self._ready()

    def wait_ready(self, seconds=READY_SECONDS):
        eventually(self.ready, f"{self.name} is ready; its log: {self.log_path}", seconds)

    def kill(self):
        """As a power cut would: nothing is said goodbye to."""
        self._end(signal.SIGKILL)

    def stop(self, seconds=30):
        self._end(signal.SIGTERM, seconds)

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        """It stands still, its connections stay open; resume() ends it."""
        self.child.send_signal(signal.SIGSTOP)

    def resume(self):
        self.child.send_signal(signal.SIGCONT)

    def _end(self, how, seconds=30):
        if not self.alive():
            return
        self.child.send_signal(how)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class ExistingCluster(Kubectl):
    """Some cluster that a kubeconfig leads to, and that is not ours to break."""

    breakable = False

    def __init__(self, kubeconfig):
        self.kubeconfig = str(kubeconfig)
        view = self.kubectl("config", "view", "--raw", "--minify", "-o", "json")
        assert view.code == 0, view
        self._cluster = json.loads(view.out)["clusters"][0]["cluster"]
        self.server = self._cluster["server"]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="oddjob-kubeconfig-"))

    def write_kubeconfig(self, name, user):
        """A kubeconfig in the cluster's folder for this `user` section; its path."""
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": self._cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}]}))
        path.chmod(0o600)
        return str(path)

    def service_account_token(self, namespace, name, seconds=3600, audience=None):
        audience = ["--audience", audience] if audience else []
        done = self.kubectl("-n", namespace, "create", "token", name, f"--duration={seconds}s", *audience)
        assert done.code == 0, done
        return done.out.strip()

    def service_account_kubeconfig(self, namespace, name, seconds=3600):
        """Whoever uses this holds what is bound to the service account, no more."""
        return self.write_kubeconfig(f"{namespace}-{name}",
                                     {"token": self.service_account_token(namespace, name, seconds)})

    def stop(self):
        pass


class Cluster(ExistingCluster):
    """A cluster of our own. Extra arguments of the programs by their names, for example
    arguments={"kube-apiserver": ["--event-ttl=10m"]}; node=False leaves the kubelet out."""

    breakable = True

    def __init__(self, folder, binaries=None, arguments=None, users=None, node=True):
        self.folder = pathlib.Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.binaries = binaries or build.binaries()
        self.kubectl_program = self.binaries["kubectl"]
        self.users = dict(USERS, **(users or {}))
        self._extra = arguments or {}
        self._etcd_port, self._port, self._kubelet_port = free_port(), free_port(), free_port()
        self.server = f"https://127.0.0.1:{self._port}"
        self.authority = pki.Authority(self.folder / "pki")
        self.ca = str(self.authority.certificate)
        # Of the API server's front proxy, as the aggregation layer wants it: a CA of its own.
        self.front_proxy = pki.Authority(self.folder / "front-proxy", "oddjob test front proxy")
        self._cluster = {"server": self.server, "certificate-authority-data": _base64(self.ca)}
        self._tokens()
        self.kubeconfig = self.write_kubeconfig("admin", {"token": self.token("admin")})
        self.etcd = self._etcd()
        self.apiserver = self._apiserver()
        self.controller_manager = self._controller("kube-controller-manager", [
            "--use-service-account-credentials=true", "--service-account-private-key-file", self._account_key,
            "--root-ca-file", self.ca, "--node-monitor-grace-period=40s", "--node-monitor-period=2s",
            "--kube-api-qps=200", "--kube-api-burst=400"])
        self.scheduler = self._controller("kube-scheduler", ["--kube-api-qps=200", "--kube-api-burst=400"])
        self.node = self._node() if node else None

    # ---- its life ------------------------------------------------------------

    def start(self):
        self.etcd.start()
        self.apiserver.start()
        self.controller_manager.start()
        self.scheduler.start()
        if self.node:
            self.node.start()
        eventually(lambda: self.kubectl("get", "serviceaccount", "default").code == 0,
                   "the default service account is made", READY_SECONDS, 0.2)
        return self

    def parts(self):
        """Its programs, in the order in which they start."""
        return [p for p in (self.etcd, self.apiserver, self.controller_manager, self.scheduler, self.node) if p]

    def stop(self):
        for part in reversed(self.parts()):
            # A cluster that is thrown away needs no goodbye; the node's pods go with it.
            part.kill()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    # ---- who comes -----------------------------------------------------------

    def token(self, user):
        return self._user_tokens[user]

    def user_kubeconfig(self, user, groups=()):
        key, certificate = self.authority.sign(f"user-{user}", user, groups)
        return self.write_kubeconfig(f"user-{user}", {"client-certificate-data": _base64(certificate),
                                                      "client-key-data": _base64(key)})

    def _tokens(self):
        self._user_tokens = {user: f"{user}-token-of-this-test-cluster-{os.urandom(8).hex()}" for user in self.users}
        components = {"system:kube-controller-manager": [], "system:kube-scheduler": [],
                      f"system:node:{NODE}": ["system:nodes"]}
        for name in components:
            self._user_tokens[name] = os.urandom(16).hex()
        self._token_file = self.folder / "tokens.csv"
        lines = []
        for user, groups in {**self.users, **components}.items():
            quoted = '"' + ",".join(groups) + '"'
            lines.append(f"{self.token(user)},{user},{user}" + (f",{quoted}" if groups else ""))
        self._token_file.write_text("\n".join(lines) + "\n")
        self._token_file.chmod(0o600)

    # ---- its faults ----------------------------------------------------------

    def compact(self):
        """Forgets all old versions in etcd; a watch from one of them gets 410 from then on,
        unless the API server's own cache still has it (it has none after a restart)."""
        revision = int(self._etcd_call("kv/range", {"key": base64.b64encode(b"/").decode()})["header"]["revision"])
        self._etcd_call("kv/compaction", {"revision": revision, "physical": True})
        return revision

    def age(self):
        """Makes all versions from before now too old to watch from, as on a cluster in use."""
        self.compact()
        self.apiserver.restart()

    def node_ready(self):
        done = self.kubectl("get", "node", NODE, "-o", "json")
        conditions = json.loads(done.out)["status"].get("conditions", []) if done.code == 0 else []
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def _etcd_call(self, path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self._etcd_port}/v3/{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    # ---- its programs --------------------------------------------------------

    def _component(self, name, argv, ready=None):
        return Component(name, [*map(str, argv), *self._extra.get(name, [])], self.folder / f"{name}.log", ready)

    def _etcd(self):
        url, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{free_port()}"

        def ready():
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
                    return json.load(answer).get("health") == "true"
        # A test's cluster need not outlive a power cut of the machine: no fsync.
        return self._component("etcd", [
            self.binaries["etcd"], "--data-dir", self.folder / "etcd", "--listen-client-urls", url,
            "--advertise-client-urls", url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}", "--unsafe-no-fsync", "--log-level", "warn"], ready)

    def _apiserver(self):
        self._account_key = pki.private_key(self.folder / "pki" / "service-accounts.key")
        service_ip = SERVICES.rsplit(".", 1)[0] + ".1"
        key, certificate = self.authority.sign("apiserver", "kube-apiserver", names=[
            "IP:127.0.0.1", f"IP:{service_ip}", "DNS:localhost", "DNS:kubernetes.default.svc"])
        kubelet_key, kubelet_certificate = self.authority.sign("apiserver-kubelet", "kube-apiserver", ["system:masters"])
        proxy_key, proxy_certificate = self.front_proxy.sign("front-proxy-client", FRONT_PROXY)
        return self._component("kube-apiserver", [
            self.binaries["kube-apiserver"], "--etcd-servers", f"http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1", "--secure-port", self._port, "--cert-dir", self.folder / "pki",
            "--tls-private-key-file", key, "--tls-cert-file", certificate, "--client-ca-file", self.ca,
            "--token-auth-file", self._token_file, "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file", self._account_key, "--service-account-signing-key-file", self._account_key,
            "--service-cluster-ip-range", SERVICES, "--endpoint-reconciler-type=none",
            "--kubelet-client-key", kubelet_key, "--kubelet-client-certificate", kubelet_certificate,
            "--kubelet-preferred-address-types=Hostname",
            "--requestheader-client-ca-file", self.front_proxy.certificate,
            f"--requestheader-allowed-names={FRONT_PROXY}", "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--proxy-client-cert-file", proxy_certificate, "--proxy-client-key-file", proxy_key,
            # There is no kube-proxy here: an aggregated API is reached at its endpoints.
            "--enable-aggregator-routing=true",
            # Pods of a node that is gone are given up after this time, not after five minutes.
            "--default-not-ready-toleration-seconds=20", "--default-unreachable-toleration-seconds=20",
        ], lambda: self.kubectl("get", "--raw", "/readyz").code == 0)

    def _controller(self, name, argv):
        kubeconfig = self.write_kubeconfig(name, {"token": self.token(f"system:{name}")})
        return self._component(name, [self.binaries[name], "--kubeconfig", kubeconfig, "--leader-elect=false",
                                      "--secure-port=0", *argv])

    def _node(self):
        folder = self.folder / "node"
        folder.mkdir(exist_ok=True)
        address = machine_address()
        runtime = folder / "cri.sock"
        assert len(str(runtime)) < 100, f"{runtime} is too long for the path of a socket: take a shorter folder"
        key, certificate = self.authority.sign("kubelet", f"system:node:{NODE}", ["system:nodes"],
                                               names=[f"DNS:{NODE}", f"IP:{address}", "IP:127.0.0.1"])
        config = folder / "kubelet.yaml"
        config.write_text(yaml.safe_dump({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "address": "127.0.0.1", "port": self._kubelet_port, "healthzPort": 0,
            "tlsCertFile": str(certificate), "tlsPrivateKeyFile": str(key),
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False},
                               "x509": {"clientCAFile": self.ca}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": f"unix://{runtime}",
            # Its processes are not in cgroups of their own, and the machine's are left alone.
            "cgroupDriver": "cgroupfs", "cgroupsPerQOS": False, "enforceNodeAllocatable": [], "failCgroupV1": False,
            "failSwapOn": False, "makeIPTablesUtilChains": False,
            "podLogsDir": str(folder / "logs"), "volumePluginDir": str(folder / "plugins"),
            # Volumes are measured, and pods evicted for them, at this pace; a minute is usual.
            "volumeStatsAggPeriod": "5s",
            # A log is one file, so that all of it can be read back; a node keeps the last 50 MiB as a rule.
            "containerLogMaxSize": "512Mi",
            "evictionHard": {"memory.available": "20Mi"}, "imageGCHighThresholdPercent": 100,
            "maxPods": 500, "serializeImagePulls": False, "registryPullQPS": 0, "eventRecordQPS": 0,
            "kubeAPIQPS": 200, "kubeAPIBurst": 400, "nodeLeaseDurationSeconds": 20,
        }))
        kubeconfig = self.write_kubeconfig("kubelet", {"token": self.token(f"system:node:{NODE}")})
        kubelet = [self.binaries["kubelet"], "--config", config, "--kubeconfig", kubeconfig,
                   "--hostname-override", NODE, "--node-ip", address, "--root-dir", folder / "kubelet",
                   "--cert-dir", folder / "pki", *self._extra.get("kubelet", [])]
        process_runtime = [self.binaries["processruntime"], "--socket", runtime, "--state", folder / "runtime",
                           "--pod-ip", address]
        # Mounts and processes live in namespaces of their own, and end with them. What the
        # kubelet has no option for (/var/log/containers, /var/lib/kubelet) goes to memory.
        # A kubelet without a runtime ends at once, so it starts when there is one.
        script = f"""mount -t tmpfs tmpfs /var/log && mount -t tmpfs tmpfs /var/lib || exit 1
runtime=$1; socket=$2; shift 2
rm -f "$socket"
eval "$runtime &"
tries=0
until [ -S "$socket" ]; do
  tries=$((tries + 1))
  [ $tries -lt {READY_SECONDS * 20} ] || {{ echo "the container runtime has no socket"; exit 1; }}
  sleep 0.05
done
exec "$@"
"""
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        if os.geteuid() != 0:
            alone[1:1] = ["--user", "--map-root-user"]
            kubelet.append("--feature-gates=KubeletInUserNamespace=true")
        return Component("kubelet", [*alone, "sh", "-c", script, "node", " ".join(map(_quoted, process_runtime)),
                                     str(runtime), *map(str, kubelet)], self.folder / "kubelet.log", self.node_ready)


def machine_address():
    """The address that the machine's pods report: loopback is not allowed for a node."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        with contextlib.suppress(OSError):
            s.connect(("192.0.2.1", 9))   # sends nothing
            return s.getsockname()[0]
    raise AssertionError("this machine has no address besides loopback, and a Kubernetes node needs one")


def from_environment(folder):
    """The cluster that $ODDJOB_TEST_KUBECONFIG names, or one of our own, started."""
    existing = os.environ.get("ODDJOB_TEST_KUBECONFIG")
    if existing:
        return ExistingCluster(existing)
    cluster = Cluster(folder)
    try:
        return cluster.start()
    except BaseException:
        cluster.stop()
        raise


def _base64(path):
    return base64.b64encode(pathlib.Path(path).read_bytes()).decode()


def _quoted(word):
    return "'" + str(word).replace("'", "'\\''") + "'"


def main(argv):
    if "--" not in argv or not argv[argv.index("--") + 1:]:
        print(__doc__)
        return 2
    command = argv[argv.index("--") + 1:]
    say = lambda line: print(f"    [kubernetes] {line}", file=sys.stderr, flush=True)
    keep = os.environ.get("ODDJOB_TEST_KEEP")
    folder = tempfile.mkdtemp(prefix="oddjob-k8s-")
    try:
        started = time.monotonic()
        with Cluster(folder, build.binaries(say)) as cluster:
            cluster.age()
            say(f"Kubernetes {cluster.binaries.version} runs at {cluster.server} ({time.monotonic() - started:.1f} s)")
            environment = dict(os.environ, KUBECONFIG=cluster.kubeconfig, ODDJOB_TEST_KUBECONFIG=cluster.kubeconfig)
            return subprocess.run(command, env=environment).returncode
    except (build.BuildError, AssertionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if keep:
            say(f"its logs are kept in {folder}")
        else:
            subprocess.run(["rm", "-rf", "--one-file-system", folder], check=False)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
