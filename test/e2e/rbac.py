"""What the server may do in a cluster: the files of deploy/rbac, and the service account that holds them."""

import pathlib

import yaml

import harness
from harness import eventually

RBAC = harness.ROOT / "deploy" / "rbac"


def documents(name):
    return [d for d in yaml.safe_load_all((RBAC / name).read_text()) if d]


def rules_of(name, kinds=("ClusterRole", "Role")):
    return [rule for d in documents(name) if d["kind"] in kinds for rule in d["rules"]]


def permissions(name):
    """(group, resource, verb), each once."""
    return [(g, r, v) for rule in rules_of(name) for g in rule["apiGroups"] for r in rule["resources"]
            for v in rule["verbs"]]


def without(permission):
    """cluster.yaml less one permission."""
    group, resource, verb = permission
    changed = documents("cluster.yaml")
    for document in changed:
        if document["kind"] != "ClusterRole":
            continue
        kept = []
        for rule in document["rules"]:
            for r in rule["resources"]:
                verbs = [v for v in rule["verbs"] if (rule["apiGroups"], r, v) != ([group], resource, verb)]
                if verbs:
                    kept.append(dict(rule, resources=[r], verbs=verbs))
        document["rules"] = kept
    return changed


class Account:
    """The service account `oddjob` in its namespace, and a kubeconfig that is nothing else."""

    def __init__(self, cluster, folder):
        self.cluster = cluster
        made = cluster.kubectl("create", "namespace", "oddjob")
        assert made.code == 0 or "AlreadyExists" in made.err, made
        cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "oddjob"}}, namespace="oddjob")
        self.kubeconfig = str(self.write_kubeconfig(pathlib.Path(folder), self.token()))

    def token(self):
        done = self.cluster.kubectl("-n", "oddjob", "create", "token", "oddjob", "--duration=2h")
        assert done.code == 0, done
        return done.out.strip()

    def write_kubeconfig(self, folder, token):
        admin = yaml.safe_load(pathlib.Path(self.cluster.kubeconfig).read_text())
        context = next(c["context"] for c in admin["contexts"] if c["name"] == admin["current-context"])
        entry = next(c for c in admin["clusters"] if c["name"] == context["cluster"])
        path = folder / "service-account.kubeconfig"
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "oddjob", "clusters": [entry],
            "users": [{"name": "oddjob", "user": {"token": token}}],
            "contexts": [{"name": "oddjob", "context": {"cluster": entry["name"], "user": "oddjob"}}]}))
        path.chmod(0o600)
        return path

    def apply(self, documents):
        text = yaml.safe_dump_all(documents)
        done = self.cluster.kubectl("apply", "-f", "-", stdin=text)
        assert done.code == 0, done

    def may(self, permission, namespace="default"):
        group, resource, verb = permission
        name, _, sub = resource.partition("/")
        argv = ["--kubeconfig", self.kubeconfig, "-n", namespace, "auth", "can-i", verb, name + (f".{group}" if group else "")]
        done = self.cluster.kubectl(*argv, *([f"--subresource={sub}"] if sub else []))
        assert done.out.strip() in ("yes", "no"), done
        return done.out.strip() == "yes"

    def take_away(self, permission):
        self.apply(without(permission))
        # A real API server learns of changed roles by a watch of its own.
        eventually(lambda: not self.may(permission), f"{permission} is taken away")

    def restore(self):
        self.apply(documents("cluster.yaml"))


def install(cluster, folder, *optional):
    """The files of deploy/rbac for a whole cluster, with those named besides; the service account's kubeconfig."""
    account = Account(cluster, folder)
    account.restore()
    for name in optional:
        account.apply(documents(name))
    eventually(lambda: account.may(("batch", "jobs", "create")), "the service account has its role", 60)
    return account.kubeconfig


def remove(cluster, name):
    text = yaml.safe_dump_all(d for d in documents(name))
    assert cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text).code == 0
