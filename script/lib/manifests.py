"""Plain manifests from the Helm chart, so that kubectl alone installs OddJob.

script/manifests runs this. What only Helm needs (its labels, the names of the
template files) is left out; comments stay.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "oddjob"
IMAGE = "registry.example.com/oddjob"
PLACE = "namespace-that-is-served"
RULE = ("templates/prometheusrule.yaml",)
ADMISSION = ("templates/admissionpolicy.yaml",)
RBAC = ("templates/serviceaccount.yaml", "templates/rbac.yaml")

# What stands above each file.
WORDS = {
    "manifests/oddjob.yaml": f"""\
# OddJob without Helm, for the whole cluster, in the namespace oddjob. Made by script/manifests from the chart.
#
# Put your image in place of {IMAGE}, make the Secret oddjob-tls (type kubernetes.io/tls),
# then: kubectl apply -f deploy/manifests/oddjob.yaml
# docs/install.md walks through it; docs/permissions.md says what each permission is for.
apiVersion: v1
kind: Namespace
metadata:
  name: oddjob
  labels:
    pod-security.kubernetes.io/enforce: restricted
""",
    "rbac/cluster.yaml": """\
# What OddJob's server may do, in every namespace of the cluster: exactly what it uses (docs/permissions.md).
# It reads no Secrets and no ConfigMaps, and cannot create or change pods or workloads.
# Made by script/manifests from the chart.
#
#   kubectl create namespace oddjob
#   kubectl apply -f deploy/rbac/cluster.yaml
#
# To serve chosen namespaces only, take namespaced.yaml instead.
""",
    "rbac/namespaced.yaml": """\
# What OddJob's server needs once, whatever namespaces it serves; namespace.yaml is applied besides in each.
# Made by script/manifests from the chart.
#
#   kubectl create namespace oddjob
#   kubectl apply -f deploy/rbac/namespaced.yaml
""",
    "rbac/namespace.yaml": """\
# What OddJob's server may do in one namespace that it serves: exactly what it uses (docs/permissions.md).
# Apply it in each one that `kubernetes.namespaces` of the server's configuration lists, after namespaced.yaml.
# Made by script/manifests from the chart.
#
#   kubectl -n payments apply -f deploy/rbac/namespace.yaml
""",
    "rbac/pod-dry-run.yaml": """\
# Optional: lets `oddjob run --dry-run` try the pod on the API server, not only the Job, so that Pod Security
# and quota speak before anything exists. RBAC cannot tell a dry run from a real create: this lets OddJob's
# service account create pods. Without it the dry run says that the pod could not be tried.
# Made by script/manifests from the chart.
""",
    "rbac/pull-secrets.yaml": """\
# Optional: lets OddJob read the imagePullSecrets of the workloads (and of their service accounts), so that the
# files of images in private registries can be completed. RBAC cannot tell pull secrets from others: this lets
# OddJob's service account read every Secret by its name. Where that is too much, give the server credentials
# of its own (images.dockerConfigFile). Made by script/manifests from the chart.
""",
    "admission/managed-jobs.yaml": """\
# Nobody but OddJob makes, starts or changes OddJob's Jobs.
#
# Two policies with their bindings (admissionregistration.k8s.io/v1, Kubernetes
# 1.30 or newer): one for Jobs, one for their pods. They hold for everybody, also
# for cluster admins. What they name, and what you may have to change, both are
# variables at the top of each policy:
#
#   oddjob      the user name of OddJob's service account
#   breakGlass  a group whose members may do all the same, when OddJob itself is
#               broken; put somebody into it only then
#   queues      controllers that start Jobs with their own queue label (Kueue)
#
# Made by script/manifests from the chart, where each is a value (admissionPolicy).
#
# Without these policies OddJob still notices such a change and stops the Job
# (docs/security.md); with them it does not happen.
""",
    "monitoring/prometheusrule.yaml": """\
# alerts.yaml for the Prometheus operator. Made by script/manifests from the chart.
""",
}


def template(*settings, only=()):
    """The documents of the rendered chart, as text, without what is Helm's."""
    argv = [str(ROOT / "script" / "helm"), "template", "oddjob", str(CHART), "--namespace", "oddjob",
            "--set", f"image.repository={IMAGE}"]
    for setting in settings:
        argv += ["--set", setting]
    for path in only:
        argv += ["--show-only", path]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=1800, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(argv)} failed:\n{done.stderr}")
    text = re.sub(r"(?m)^# Source: .*\n", "", done.stdout)
    text = re.sub(r"(?m)^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", "", text)
    # The claim is nobody's to delete here.
    text = re.sub(r"(?m)^  annotations:\n(?:    #.*\n)?    helm\.sh/resource-policy: keep\n", "", text)
    return [d.strip("\n") + "\n" for d in re.split(r"(?m)^---\n", text) if d.strip()]


def kind(document):
    return re.search(r"(?m)^kind: (\S+)", document).group(1)


def is_for(document, name):
    return re.search(rf"(?m)^  name: {name}$", document) is not None


def make():
    cluster = template(only=RBAC)
    chosen = template(f"namespaces={{{PLACE}}}", only=RBAC)
    dry_run = template("rbac.podDryRun=true", only=RBAC)
    pull_secrets = template("rbac.pullSecrets=true", only=RBAC)
    of_place = [d.replace(f"  namespace: {PLACE}\n", "", 1) for d in chosen if f"namespace: {PLACE}" in d]
    return {
        "manifests/oddjob.yaml": ["", *template()],
        "monitoring/prometheusrule.yaml": template("prometheusRule.enabled=true", only=RULE),
        "rbac/cluster.yaml": cluster,
        "rbac/namespaced.yaml": [d for d in chosen if PLACE not in d],
        "rbac/namespace.yaml": of_place,
        "rbac/pull-secrets.yaml": [d for d in pull_secrets if is_for(d, "oddjob-pull-secrets")],
        "admission/managed-jobs.yaml": template("admissionPolicy.enabled=true", only=ADMISSION),
        "rbac/pod-dry-run.yaml": [d for d in dry_run if is_for(d, "oddjob-pod-dry-run")],
    }


def copies():
    """Helm takes custom resource definitions from the chart's own folder only."""
    return {f"helm/oddjob/crds/{p.name}": p.read_text() for p in sorted((ROOT / "deploy" / "crds").glob("*.yaml"))}


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit("usage: script/manifests [--check]")
    stale = []
    made = {name: WORDS[name] + "---\n".join(documents) for name, documents in make().items()}
    for name, text in (made | copies()).items():
        path = ROOT / "deploy" / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(f"deploy/{name}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote deploy/{name}")
    if check and stale:
        sys.exit(f"not up to date, run script/manifests: {', '.join(stale)}")


if __name__ == "__main__":
    main()
