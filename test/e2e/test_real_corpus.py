"""Deployments as people write them (examples/workloads): each becomes a Job that a real API server takes, and
whose pod nothing in the file selects that selects the workload's own pods."""

import copy

import pytest
import yaml

import harness

FILES = sorted((harness.ROOT / "examples" / "workloads").glob("*.yaml"))
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "CronJob"}


def render(manifest, *options):
    done = harness.run([harness.ODDJOB, "render", "-f", "-", *options, "--", "bin/task", "--all", "räksmörgås"],
                       stdin=manifest.encode())
    assert done.code == 0, done
    return yaml.safe_load(done.out)


def selects(selector, labels):
    """As Kubernetes matches a LabelSelector; a Service's selector is its matchLabels."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for e in selector.get("matchExpressions") or []:
        has, value = e["key"] in labels, labels.get(e["key"])
        held = {"In": value in e.get("values", []), "NotIn": value not in e.get("values", []),
                "Exists": has, "DoesNotExist": not has}[e["operator"]]
        if not held:
            return False
    return True


def selectors(documents):
    """What selects pods, by the name of the object. A HorizontalPodAutoscaler and a workload select by the
    workload's selector."""
    for o in documents:
        spec, name = o["spec"], f"{o['kind']}/{o['metadata']['name']}"
        if o["kind"] == "Service" and spec.get("selector"):
            yield name, {"matchLabels": spec["selector"]}
        elif o["kind"] in WORKLOADS - {"CronJob"} | {"PodDisruptionBudget"}:
            yield name, spec["selector"]
        elif o["kind"] == "NetworkPolicy":
            yield name, spec["podSelector"]


@pytest.fixture(scope="module")
def namespaces(real_cluster):
    made = set()

    def ensure(name):
        if name not in made and name != "default":
            done = real_cluster.kubectl("create", "namespace", name)
            assert done.code == 0 or "AlreadyExists" in done.err, done
            made.add(name)
        return name
    yield ensure
    for name in made:
        real_cluster.kubectl("delete", "namespace", name, "--wait=false")


def pod_of(job):
    """As the Job controller makes it."""
    template = job["spec"]["template"]
    return {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": template["metadata"] | {"name": f"{job['metadata']['name']}-x7k2p"}}


def what_it_names(spec):
    """Objects without which admission refuses a pod."""
    if account := spec.get("serviceAccountName"):
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
    if (priority := spec.get("priorityClassName")) and not priority.startswith("system-"):
        yield {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": priority},
               "value": spec.get("priority", 1000), "preemptionPolicy": spec.get("preemptionPolicy", "PreemptLowerPriority")}
    if runtime := spec.get("runtimeClassName"):
        yield {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": runtime}, "handler": runtime}


def take(real_cluster, namespaces, job):
    namespace = namespaces(job["metadata"].get("namespace", "default"))
    pod = pod_of(job)
    for named in what_it_names(pod["spec"]):
        done = real_cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=yaml.safe_dump(named))
        assert done.code == 0 or "AlreadyExists" in done.err, done
    for made in (job, pod):
        done = real_cluster.kubectl("-n", namespace, "create", "--dry-run=server", "--validate=strict", "-f", "-",
                                    "-o", "json", stdin=yaml.safe_dump(made))
        assert done.code == 0, f"{done}\n{yaml.safe_dump(made)[:20000]}"


@pytest.mark.parametrize("sidecars", ["drop", "native", "keep"])
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_server_takes_the_job_and_nothing_selects_its_pod(real_cluster, namespaces, file, sidecars):
    manifest = file.read_text()
    job = render(manifest, "--sidecars", sidecars)
    take(real_cluster, namespaces, job)
    documents = [d for d in yaml.safe_load_all(manifest) if d]
    assert sum(d["kind"] in WORKLOADS for d in documents) == 1
    labels = job["spec"]["template"]["metadata"]["labels"]
    for name, selector in selectors(documents):
        assert not selects(selector, labels), f"{name} selects the pod by {labels}"


def test_the_selectors_of_the_corpus_select_their_own_pods():
    """The check above would find something, were it there."""
    found = 0
    for file in FILES:
        documents = [d for d in yaml.safe_load_all(file.read_text()) if d]
        workload = next(d for d in documents if d["kind"] in WORKLOADS)
        if workload["kind"] == "CronJob":
            continue
        labels = workload["spec"]["template"]["metadata"]["labels"]
        for name, selector in selectors(documents):
            assert selects(selector, labels), f"{file.name}: {name} does not select the workload's own pods"
            found += 1
    assert found > len(FILES)


def test_a_manifest_of_a_megabyte(real_cluster, namespaces):
    documents = list(yaml.safe_load_all((harness.ROOT / "examples/workloads/18-restricted.yaml").read_text()))
    workload = copy.deepcopy(documents[0])
    container = workload["spec"]["template"]["spec"]["containers"][0]
    container["env"] += [{"name": f"BLOCK_{i}", "value": chr(ord("a") + i) * 50_000} for i in range(20)]
    manifest = yaml.safe_dump(workload)
    assert len(manifest) > 1_000_000
    job = render(manifest)
    assert len(job["spec"]["template"]["spec"]["containers"][0]["env"]) == 21
    take(real_cluster, namespaces, job)
