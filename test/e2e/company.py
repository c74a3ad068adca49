"""A company's cluster with OddJob in it: the chart on a real control plane, a real OpenID provider, and whoever comes."""

import contextlib
import json
import os
import subprocess

import yaml

import cluster as kubernetes
import harness
from harness import eventually, run
from installed import Image, Kubelet
from invariants import Witness
from people import ACCOUNTS, Person, oidc
from reader import Reader

API = "/apis/run.oddjob.dev/v1alpha1"
# What the audit may say of somebody who is not let in.
REFUSALS = {"run.refused"}


class Company:
    """Helm has installed OddJob in namespace `oddjob`; `payments` lets the teams payments and deployers in, and its
    commands have a witness."""

    def __init__(self, folder, cluster_folder):
        self.folder = folder
        self.provider = oidc.Provider(folder / "provider", ACCOUNTS)
        self.cluster = kubernetes.Cluster(cluster_folder)
        self.authority = kubernetes.pki.Authority(folder / "serving", "oddjob test serving")
        self.ca = str(self.authority.certificate)
        self.witness = Witness(folder / "witness")
        self.reader = None

    def values(self):
        """What the platform engineer writes; the provider has a certificate of the company's own authority."""
        people = {"issuer": self.provider.issuer, "audiences": ["oddjob-cli"], "clientId": "oddjob-cli",
                  "usernameClaim": "email", "groupsClaim": "groups"}
        pipelines = {"issuer": self.provider.issuer, "audiences": ["oddjob-ci"],
                     "workloads": [{"claims": {"repository": "acme/payments", "ref": "refs/heads/main"},
                                    "username": "ci:${repository}", "teams": ["deployers"]}]}
        return {"image": {"repository": "registry.example.com/oddjob"}, "apiService": {"enabled": True},
                "auth": {"oidc": [people, pipelines]}, "config": {"auth": {"auditorTeams": ["security"]}}}

    def start(self):
        self.provider.start()
        self.cluster.start()
        self.reader = Reader(self.cluster, self.folder / "clone", Image(self.folder / "image"))
        key, certificate = self.authority.sign("server", "oddjob", names=["DNS:oddjob.oddjob.svc", "DNS:localhost"])
        self.shell("kubectl create namespace oddjob")
        self.shell("kubectl label namespace oddjob pod-security.kubernetes.io/enforce=restricted")
        self.shell(f"kubectl -n oddjob create secret tls oddjob-tls --cert={certificate} --key={key}")
        self.helm("install")
        self.reader.be_the_node()
        self.cluster.apply(self.payments())
        self.shell("kubectl wait --for=condition=available deploy/payments --timeout=120s")
        self.shell("kubectl wait --for=condition=Available apiservice/v1alpha1.run.oddjob.dev --timeout=2m")
        self.auditor = self.cluster.user_kubeconfig("sam", ["security"])
        eventually(lambda: self.kubectl_oddjob(self.auditor, "whoami").code == 0, "the API server lets people through", 60)
        return self

    def payments(self):
        made = self.witness.workload("payments", {"oddjob.dev/allowed-teams": "payments,deployers"})
        made["spec"]["replicas"] = 1
        return made

    def stop(self):
        if self.reader:
            self.reader.stop()
        self.cluster.stop()
        self.provider.stop()

    def shell(self, command):
        return self.reader.shell(command)

    def helm(self, command, *settings):
        """`helm install` or `upgrade` with the values, and what is set besides."""
        (self.folder / "values.yaml").write_text(yaml.safe_dump(self.values()))
        files = {"apiService.caBundle": self.ca, "auth.oidc[0].caBundle": self.provider.ca,
                 "auth.oidc[1].caBundle": self.provider.ca}
        given = " ".join([f"--set-file '{k}={v}'" for k, v in files.items()] + [f"--set '{s}'" for s in settings])
        return self.shell(f"helm {command} oddjob deploy/helm/oddjob --namespace oddjob "
                          f"--values {self.folder}/values.yaml {given}")

    def three_replicas(self, postgres):
        """The release goes to three replicas on PostgreSQL, as docs/operations.md has it; their pods."""
        port, password = kubernetes.free_port(), "of-the-companys-database"
        key, certificate = self.authority.sign("postgresql", "postgresql", names=["IP:127.0.0.1"])
        postgres.serve_network(port, key, certificate)
        for statement in (f"CREATE ROLE oddjob LOGIN PASSWORD '{password}'",
                          "CREATE DATABASE oddjob OWNER oddjob ENCODING 'UTF8' TEMPLATE template0"):
            done = postgres.query(statement)
            assert done.returncode == 0, done.stderr
        self.shell(f"kubectl -n oddjob create secret generic oddjob-postgresql --from-literal=password={password} "
                   f"--from-file=ca.crt={self.ca}")
        where = f"postgresql://oddjob@127.0.0.1:{port}/oddjob?sslmode=verify-full&sslrootcert=/etc/oddjob/postgresql/ca.crt"
        self.helm("upgrade", "replicaCount=3", f"postgresql.url={where}", "postgresql.secretName=oddjob-postgresql",
                  "config.database.lease=3s")
        self.reader.no_endpoint(self.reader.ENDPOINT)
        self.reader.end()
        pods = [Replica(self, f"replica-{i}") for i in range(3)]
        eventually(lambda: self.kubectl_oddjob(self.auditor, "whoami").code == 0, "a replica answers", 60)
        return pods

    @property
    def port(self):
        return self.reader.kubelet.port

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    def log(self):
        return self.reader.kubelet.log()

    def deployment(self):
        return self.cluster.get("deployment", "oddjob", namespace="oddjob")["spec"]

    # ---- who comes -----------------------------------------------------------

    def person(self, folder, **options):
        return Person(folder, self, self.provider, environment={"ODDJOB_CA_FILE": self.ca}, **options)

    def with_token(self, folder, token, *args):
        """`oddjob`, with nothing but a token in a file, as in a pipeline."""
        (folder / "token").write_text(token)
        person = self.person(folder / "home", browser=False)
        return person.oddjob(*args, extra={"ODDJOB_TOKEN_FILE": str(folder / "token")})

    def kubectl_environment(self, kubeconfig):
        links = self.folder / "links"
        if not links.exists():
            links.mkdir()
            (links / "kubectl-oddjob").symlink_to(harness.ODDJOB)
            (links / "kubectl").symlink_to(self.cluster.kubectl_program)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ODDJOB_")}
        return dict(environment, PATH=f"{links}:{os.environ['PATH']}", KUBECONFIG=kubeconfig, HOME=str(self.folder), NO_COLOR="1")

    def kubectl_oddjob(self, kubeconfig, *args):
        """With nothing but a kubeconfig."""
        return run(["kubectl", "oddjob", *args], self.kubectl_environment(kubeconfig))

    def follow(self, kubeconfig, *args):
        """`kubectl oddjob` that goes on; its output comes in pieces."""
        return subprocess.Popen(["kubectl", "oddjob", *args], env=self.kubectl_environment(kubeconfig), text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    # ---- what has happened ---------------------------------------------------

    def jobs(self):
        return {j["metadata"]["uid"]: j for j in self.cluster.get("jobs", "--all-namespaces")["items"]}

    def audit(self):
        done = self.kubectl_oddjob(self.auditor, "audit", "list", "--limit", "1000000", "-o", "jsonl")
        assert done.code == 0, done
        return [json.loads(line) for line in done.out.splitlines()]

    @contextlib.contextmanager
    def nothing_happens(self):
        """No Job in the cluster, and nothing in the audit but that somebody was refused."""
        jobs, before = self.jobs(), self.audit()
        yield
        assert self.jobs().keys() == jobs.keys()
        records = self.audit()
        assert records[:len(before)] == before
        assert {r["type"] for r in records[len(before):]} <= REFUSALS, records[len(before):]


class Replica:
    """One pod of several, with an endpoint of its own; the node starts another where it ends."""

    def __init__(self, company, name):
        self.company, self.name, self.starts = company, name, 0
        self.start()

    def start(self):
        self.starts += 1
        self.kubelet = Kubelet(self.company.cluster, "oddjob", "oddjob", self.company.reader.image,
                               self.company.folder / f"{self.name}-{self.starts}").start()
        self.company.reader.endpoint(self.name, self.kubelet.port)

    def is_lost(self):
        """Its node is gone from one moment to the next; the endpoint goes a little later."""
        self.kubelet.stop()
        self.company.reader.no_endpoint(self.name)
        self.start()

    def is_deleted(self):
        """As `kubectl delete pod` does."""
        self.company.reader.no_endpoint(self.name)
        assert self.kubelet.terminate() == 0, self.kubelet.log()[-4000:]
        self.start()

    def stop(self):
        self.kubelet.stop()
