"""The Helm chart: what it renders, for which values, and that a cluster takes it."""

import base64
import json

import pytest
import yaml

import crds
import harness
from harness import ODDJOBD, ROOT, run

CHART = str(ROOT / "deploy" / "helm" / "oddjob")
HELM = str(ROOT / "script" / "helm")
IMAGE = "image.repository=registry.example.com/oddjob"


def helm(*args, environment=None, seconds=120):
    return run([HELM, *args], environment, seconds)


@pytest.fixture(scope="session", autouse=True)
def built_helm():
    """Builds Helm where it is not there yet; says so, and what is missing if it cannot."""
    done = helm("version", "--short", seconds=1800)
    assert done.code == 0, done


def template(*settings, release="oddjob", image=IMAGE):
    argv = ["template", release, CHART, "--namespace", "oddjob"]
    for setting in (*([image] if image else []), *settings):
        argv += ["--set", setting]
    return helm(*argv)


def rendered(*settings, **kwargs):
    """{(kind, name): document}."""
    done = template(*settings, **kwargs)
    assert done.code == 0, done
    documents = [d for d in yaml.safe_load_all(done.out) if d]
    return {(d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]): d for d in documents}


def kinds(documents):
    return sorted(kind for kind, _, _ in documents)


def only(documents, wanted):
    (found,) = [d for (kind, _, _), d in documents.items() if kind == wanted]
    return found


def pod_of(documents):
    return only(documents, "Deployment")["spec"]["template"]["spec"]


def config_of(documents):
    (config,) = [d["data"]["oddjobd.yaml"] for (kind, _, _), d in documents.items()
                 if kind == "ConfigMap" and "oddjobd.yaml" in d["data"]]
    return config


SETTINGS = {
    "defaults": [],
    "one namespace": ["namespaces={team-a}"],
    "some namespaces": ["namespaces={team-a,team-b}", "rbac.podDryRun=true"],
    "cert-manager": ["tls.mode=certManager", "tls.certManager.issuerRef.name=internal",
                     "tls.certManager.dnsNames={oddjob.example.com}"],
    "for a first try": ["tls.mode=none", "persistence.enabled=false"],
    "everything": ["auth.staticTokensSecret=oddjob-tokens", "serviceMonitor.enabled=true",
                   "prometheusRule.enabled=true", "dashboard.enabled=true", "ingress.enabled=true",
                   "ingress.host=oddjob.example.com", "ingress.tlsSecretName=wildcard", "rbac.podDryRun=true",
                   "networkPolicy.from[0].namespaceSelector.matchLabels.team=platform",
                   "networkPolicy.egress[0].ports[0].port=443", "priorityClassName=high", "podLabels.cost=platform",
                   "podAnnotations.note=hello", "imagePullSecrets[0].name=pull", "config.auth.adminTeams={platform}",
                   "config.limits.maxActiveRuns=50", "persistence.storageClass=fast", "service.type=LoadBalancer"],
    "behind the API server": ["apiService.enabled=true", "tls.mode=certManager", "tls.certManager.issuerRef.name=internal",
                              "auth.staticTokensSecret=oddjob-tokens"],
    "with a provider": ["auth.oidc[0].issuer=https://login.example.com", "auth.oidc[0].audiences={oddjob-cli}",
                        "auth.oidc[0].clientId=oddjob-cli", "auth.oidc[0].caBundle=-----BEGIN CERTIFICATE-----\nx",
                        "auth.oidc[1].issuer=https://ci.example.com", "auth.oidc[1].audiences={oddjob-ci}",
                        "auth.oidc[1].workloads[0].claims.ref=main", "auth.oidc[1].workloads[0].username=ci:any"],
    "with files of its own": ["extraVolumes[0].name=hooks", "extraVolumes[0].secret.secretName=hooks",
                              "extraVolumeMounts[0].name=hooks", "extraVolumeMounts[0].mountPath=/etc/oddjob/hooks",
                              "config.hooks[0].name=chat", "config.hooks[0].url=https://chat.example.com/x",
                              "config.hooks[0].secretFile=/etc/oddjob/hooks/chat"],
    "guarded": ["admissionPolicy.enabled=true", "rbac.pullSecrets=true", "serviceAccount.name=runner"],
    "an existing claim": ["persistence.existingClaim=mine"],
    "several replicas": ["replicaCount=3", "postgresql.url=postgresql://oddjob@db:5432/oddjob?sslmode=verify-full",
                         "postgresql.secretName=oddjob-postgresql"],
    "no roles and no account": ["rbac.create=false", "serviceAccount.create=false", "serviceAccount.name=mine"],
}


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda s: s.replace(" ", "-"))
def documents(request):
    return rendered(*SETTINGS[request.param])


# ---- what holds for all values -------------------------------------------------------------------------

def test_the_pod_meets_pod_security_restricted(documents):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, and a read-only root besides."""
    pod = pod_of(documents)
    assert not any(pod.get(k) for k in ("hostNetwork", "hostPID", "hostIPC"))
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert all("hostPort" not in p for p in container["ports"])
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}, volume


def test_the_configuration_is_right(documents, tmp_path):
    path = tmp_path / "oddjobd.yaml"
    path.write_text(config_of(documents))
    done = run([ODDJOBD, "check-config", str(path)])
    assert done.code == 0, done


def test_what_is_mounted_is_what_the_configuration_names(documents):
    config, pod = yaml.safe_load(config_of(documents)), pod_of(documents)
    (container,) = pod["containers"]
    mounts = [m["mountPath"] for m in container["volumeMounts"]]
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    named = [config["listen"].get("tlsCertFile"), config["listen"].get("tlsKeyFile"),
             config.get("auth", {}).get("staticTokensFile"), config["database"].get("passwordFile"), container["args"][-1]]
    named += [hook["secretFile"] for hook in config.get("hooks", [])]
    named += [issuer.get("caFile") for issuer in config.get("auth", {}).get("oidc", [])]
    if config["database"]["url"].startswith("sqlite:"):
        named.append(config["database"]["url"].removeprefix("sqlite:"))
    for path in filter(None, named):
        assert any(path.startswith(m + "/") for m in mounts), f"{path} is on no volume of {mounts}"


def test_probes_speak_as_the_server_does(documents):
    config, (container,) = yaml.safe_load(config_of(documents)), pod_of(documents)["containers"]
    scheme = "HTTPS" if "tlsCertFile" in config["listen"] else "HTTP"
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "api", "scheme": scheme}
    assert container["ports"] == [{"name": "api", "containerPort": config["listen"]["port"]}]


def test_selectors_select_the_pod_and_it_alone_writes_the_database(documents):
    deployment = only(documents, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"], only(documents, "Service")["spec"]["selector"],
                 only(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
    for selector in selectors:
        assert selector.items() <= labels.items()
    if yaml.safe_load(config_of(documents))["database"]["url"].startswith("sqlite:"):
        assert deployment["spec"]["replicas"] == 1 and deployment["spec"]["strategy"] == {"type": "Recreate"}
    # With one replica a budget could only stop the draining of its node.
    assert ("PodDisruptionBudget" in kinds(documents)) == (deployment["spec"]["replicas"] > 1)


def test_bindings_bind_the_account_of_the_pod(documents):
    account = pod_of(documents)["serviceAccountName"]
    for (kind, _, name), document in documents.items():
        if kind in ("RoleBinding", "ClusterRoleBinding") and name != "oddjob-user":
            assert document["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "oddjob"}]
            role = document["roleRef"]
            assert role["name"] == "extension-apiserver-authentication-reader" or any(
                (k, n) == (role["kind"], role["name"]) for k, _, n in documents)


# ---- what single values do -----------------------------------------------------------------------------

def test_chosen_namespaces_get_a_role_each_and_nothing_else_is_allowed_there():
    documents = rendered("namespaces={team-a,team-b}")
    roles = [(kind, ns) for kind, ns, name in documents if kind in ("Role", "ClusterRole") and name == "oddjob"]
    assert sorted(roles) == [("Role", "team-a"), ("Role", "team-b")]
    cluster_wide = [d for (kind, _, _), d in documents.items() if kind == "ClusterRole"]
    assert [r["resources"] for d in cluster_wide for r in d["rules"]] == [["tokenreviews"]]
    assert yaml.safe_load(config_of(documents))["kubernetes"] == {"namespaces": ["team-a", "team-b"]}
    assert documents[("Role", "team-a", "oddjob")]["rules"] == rendered()[("ClusterRole", "", "oddjob")]["rules"]


def test_without_token_review_its_role_is_not_there():
    assert ("ClusterRole", "", "oddjob-token-review") not in rendered("config.auth.tokenReview=false")


def test_behind_the_api_server_what_it_needs_is_there_and_no_more(tmp_path):
    certificate = tmp_path / "ca.crt"
    certificate.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    done = helm("template", "oddjob", CHART, "--namespace", "oddjob", "--set", IMAGE, "--set", "apiService.enabled=true",
                "--set-file", f"apiService.caBundle={certificate}", "--set", "apiService.users[0].kind=Group",
                "--set", "apiService.users[0].name=engineers")
    assert done.code == 0, done
    documents = {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(done.out) if d}
    service = documents[("APIService", "v1alpha1.run.oddjob.dev")]["spec"]
    assert base64.b64decode(service["caBundle"]).decode() == certificate.read_text()
    assert service["service"] == {"name": "oddjob", "namespace": "oddjob", "port": 443}
    assert "insecureSkipTLSVerify" not in service
    assert documents[("ClusterRoleBinding", "oddjob-user")]["subjects"] == [
        {"kind": "Group", "name": "engineers", "apiGroup": "rbac.authorization.k8s.io"}]
    rules = documents[("ClusterRole", "oddjob-user")]["rules"]
    assert {g for r in rules for g in r["apiGroups"]} == {"run.oddjob.dev"}
    assert yaml.safe_load(documents[("ConfigMap", "oddjob")]["data"]["oddjobd.yaml"])["auth"] == {"frontProxy": True}
    # By default none of it: an aggregated API concerns the whole cluster.
    assert not {"APIService"} & set(kinds(rendered()))
    assert "frontProxy" not in config_of(rendered())


def test_the_admission_policies_name_the_releases_own_account():
    documents = rendered("admissionPolicy.enabled=true", "serviceAccount.name=runner",
                         "admissionPolicy.breakGlassGroup=sre:break-glass", "admissionPolicy.queueControllers={one,two}")
    policies = [d for (kind, _, _), d in documents.items() if kind == "ValidatingAdmissionPolicy"]
    assert len(policies) == 2
    for policy in policies:
        variables = {v["name"]: v["expression"] for v in policy["spec"]["variables"]}
        assert variables["oddjob"] == "'system:serviceaccount:oddjob:runner'"
        assert variables["breakGlass"] == "'sre:break-glass'"
        assert variables.get("queues", "['one', 'two']") == "['one', 'two']"
    bindings = [d for (kind, _, _), d in documents.items() if kind == "ValidatingAdmissionPolicyBinding"]
    assert sorted(b["spec"]["policyName"] for b in bindings) == sorted(p["metadata"]["name"] for p in policies)
    old = helm("template", "oddjob", CHART, "--set", IMAGE, "--set", "admissionPolicy.enabled=true", "--kube-version", "1.29.4")
    assert old.code != 0 and "needs Kubernetes 1.30" in old.err, old


def test_pull_secrets_are_read_in_the_namespaces_that_are_served_only():
    documents = rendered("rbac.pullSecrets=true", "namespaces={team-a,team-b}")
    bound = [(kind, ns) for kind, ns, name in documents if name == "oddjob-pull-secrets" and kind.endswith("Binding")]
    assert sorted(bound) == [("RoleBinding", "team-a"), ("RoleBinding", "team-b")]


def test_a_digest_wins_over_the_tag():
    digest = "sha256:" + "0" * 64
    image = lambda *s: pod_of(rendered(*s))["containers"][0]["image"]
    assert image("image.tag=v9", f"image.digest={digest}") == f"registry.example.com/oddjob@{digest}"
    assert image("image.tag=v9") == "registry.example.com/oddjob:v9"
    assert image() == "registry.example.com/oddjob:" + yaml.safe_load((ROOT / "deploy/helm/oddjob/Chart.yaml").read_text())["appVersion"]


def test_the_chart_wins_over_config_where_it_knows_better():
    config = yaml.safe_load(config_of(rendered("config.listen.port=1", "config.database.busyTimeout=5s")))
    assert config["listen"]["port"] == 8443 and config["database"] == {
        "url": "sqlite:/var/lib/oddjob/oddjob.db", "busyTimeout": "5s"}


def test_an_issuers_authority_lies_beside_the_configuration():
    documents = rendered(*SETTINGS["with a provider"])
    first, second = yaml.safe_load(config_of(documents))["auth"]["oidc"]
    assert first == {"issuer": "https://login.example.com", "audiences": ["oddjob-cli"], "clientId": "oddjob-cli",
                     "caFile": "/etc/oddjob/config/oidc-0-ca.crt"}
    assert "caFile" not in second
    assert documents[("ConfigMap", "oddjob", "oddjob")]["data"]["oidc-0-ca.crt"] == "-----BEGIN CERTIFICATE-----\nx\n"


def config_schema():
    return json.loads(run([ODDJOBD, "config-schema"]).out)["properties"]


def test_the_charts_schema_knows_an_issuer_as_the_server_does():
    chart = json.loads((ROOT / "deploy/helm/oddjob/values.schema.json").read_text())["properties"]["auth"]["properties"]["oidc"]
    assert chart["items"]["properties"].pop("caBundle")
    assert chart["items"] == config_schema()["auth"]["properties"]["oidc"]["items"]


def checksum(*settings):
    return only(rendered(*settings), "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]


def test_a_new_pod_is_made_for_what_a_running_server_does_not_take_up():
    live = [line.split()[0] for line in run([ODDJOBD, "serve", "--help"]).out.splitlines() if line.endswith(" (live)")]
    assert len(live) > 10 and "auth.adminTeams" in live
    assert checksum() == checksum("podLabels.a=b", *(f"config.{key}=changed" for key in live))
    issuer = ["auth.oidc[0].issuer=https://login.example.com", "auth.oidc[0].audiences={oddjob-cli}"]
    authority = "auth.oidc[0].caBundle=-----BEGIN CERTIFICATE-----"
    others = [["config.log.format=text"], ["config.auth.tokenReview=false"], ["config.runs.pendingJobs=deferred"],
              ["namespaces={team-a}"], issuer, [*issuer, authority + "a"], [*issuer, authority + "b"]]
    assert len({checksum(), *(checksum(*settings) for settings in others)}) == 1 + len(others)


def test_the_claim_outlives_the_release_and_can_be_given():
    assert only(rendered(), "PersistentVolumeClaim")["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert "PersistentVolumeClaim" not in kinds(rendered("persistence.existingClaim=mine"))


def test_replicas_share_postgresql_and_are_drained_one_at_a_time():
    documents = rendered(*SETTINGS["several replicas"])
    deployment, pod = only(documents, "Deployment")["spec"], pod_of(documents)
    assert deployment["replicas"] == 3
    assert deployment["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    budget = only(documents, "PodDisruptionBudget")["spec"]
    assert budget == {"maxUnavailable": 1, "selector": deployment["selector"]}
    assert "PersistentVolumeClaim" not in kinds(documents)
    assert yaml.safe_load(config_of(documents))["database"] == {
        "url": "postgresql://oddjob@db:5432/oddjob?sslmode=verify-full", "passwordFile": "/etc/oddjob/postgresql/password"}
    (secret,) = [v["secret"]["secretName"] for v in pod["volumes"] if v["name"] == "postgresql"]
    assert secret == "oddjob-postgresql"
    assert pod["topologySpreadConstraints"][0]["labelSelector"] == deployment["selector"]


def test_names_follow_the_release():
    assert ("Deployment", "oddjob", "oddjob") in rendered()
    assert ("Deployment", "oddjob", "prod-oddjob") in rendered(release="prod")
    assert ("Deployment", "oddjob", "x" * 50) in rendered(f"fullnameOverride={'x' * 63}")


@pytest.mark.parametrize("settings,words", [
    ([], ["image.repository", "script/image"]),
    ([IMAGE, "tls.mode=certManager"], ["tls.certManager.issuerRef.name"]),
    ([IMAGE, "tls.mode=maybe"], ["tls.mode" , "secret"]),
    ([IMAGE, "tls.secretName="], ["tls.secretName"]),
    ([IMAGE, "namespaces={Team_A}"], ["namespaces"]),
    ([IMAGE, "replicas=3"], ["replicas"]),
    ([IMAGE, "replicaCount=3"], ["replicaCount", "postgresql.url"]),
    ([IMAGE, "replicaCount=0"], ["replicaCount"]),
    ([IMAGE, "postgresql.url=mysql://x"], ["postgresql.url"]),
    ([IMAGE, "persistence.size=big"], ["persistence.size"]),
    ([IMAGE, "image.digest=latest"], ["image.digest"]),
    ([IMAGE, "ingress.enabled=true"], ["ingress.host"]),
    ([IMAGE, "apiService.enabled=true"], ["apiService.caBundle", "--set-file"]),
    ([IMAGE, "apiService.enabled=true", "tls.mode=none"], ["apiService.enabled", "TLS"]),
    ([IMAGE, "apiService.caBundle=rubbish"], ["apiService.caBundle"]),
    ([IMAGE, "auth.oidc[0].audiences={a}"], ["auth.oidc.0", "issuer"]),
    ([IMAGE, "auth.oidc[0].issuer=http://a", "auth.oidc[0].audiences={a}"], ["auth.oidc.0.issuer"]),
    ([IMAGE, "auth.oidc[0].issuer=https://a", "auth.oidc[0].audiences={a}", "config.auth.oidc[0].issuer=https://a"],
     ["auth.oidc and config.auth.oidc"]),
    ([IMAGE, "auth.oidc[0].issuer=https://a", "auth.oidc[0].audiences={a}", "auth.oidc[0].caFile=/x",
      "auth.oidc[0].caBundle=-----BEGIN CERTIFICATE-----"], ["auth.oidc[0]", "caBundle or caFile"]),
    ([IMAGE, "admissionPolicy.breakGlassGroup=a'b"], ["admissionPolicy.breakGlassGroup"]),
], ids=lambda v: v[-1] if isinstance(v, list) and v else None)
def test_a_wrong_value_is_refused_by_name(settings, words):
    done = template(*settings, image=None)
    assert done.code != 0, done
    for word in words:
        assert word in done.err or word.replace(".", "/") in done.err, done.err


# ---- the whole ------------------------------------------------------------------------------------------

def test_helm_lint_finds_nothing():
    done = helm("lint", "--strict", CHART, "--set", IMAGE)
    assert done.code == 0 and "[WARNING]" not in done.out and "[ERROR]" not in done.out, done


def test_the_plain_manifests_are_up_to_date():
    done = run([str(ROOT / "script" / "manifests"), "--check"], seconds=120)
    assert done.code == 0, done


def test_the_plain_manifests_are_taken_by_a_cluster(tmp_path):
    cluster = harness.DevCluster(tmp_path)
    try:
        done = cluster.kubectl("apply", "-f", str(ROOT / "deploy" / "manifests" / "oddjob.yaml"))
        assert done.code == 0 and "Warning" not in done.err, done
    finally:
        cluster.stop()


@pytest.fixture
def with_operators(real_cluster):
    """The real cluster, with the custom resources of the Prometheus operator and of cert-manager for a while."""
    made = crds.documents()
    text = yaml.safe_dump_all(made)
    done = real_cluster.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    assert done.code == 0, done
    names = [f"crd/{d['metadata']['name']}" for d in made]
    done = real_cluster.kubectl("wait", "--for=condition=Established", *names, "--timeout=60s", seconds=90)
    assert done.code == 0, done
    yield real_cluster
    real_cluster.kubectl("delete", *names, seconds=120)


def test_a_real_api_server_takes_everything_that_is_rendered(with_operators):
    """Each field of each object, Pod Security and admission included; nothing is kept."""
    def take(manifests):
        return with_operators.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifests)

    for name in ("oddjob", "team-a", "team-b"):
        made = with_operators.kubectl("create", "namespace", name)
        assert made.code == 0 or "AlreadyExists" in made.err, made
    plain = ["serviceMonitor.enabled=true", "tls.mode=none"]
    for name, settings in {**SETTINGS, "a plain ServiceMonitor": plain}.items():
        done = take(template(*settings).out)
        assert done.code == 0 and not done.err, (name, done)
    done = take(template(*plain).out.replace("interval: 30s", "intervall: 30s"))
    assert done.code != 0 and "intervall" in done.err, "the objects are not compared with their definitions"


def test_install_upgrade_uninstall(cluster):
    environment = dict(harness.os.environ, KUBECONFIG=cluster.kubeconfig)
    # No node has this label: what is tried here is what Helm and the API server make of it.
    common = ["--namespace", "helm-test", "--set", IMAGE, "--set", "nodeSelector.none=none"]
    assert cluster.kubectl("create", "namespace", "helm-test").code == 0
    try:
        done = helm("install", "oddjob-test", CHART, *common, environment=environment)
        assert done.code == 0, done
        assert "kubectl -n helm-test rollout status deploy/oddjob-test" in done.out and "every namespace" in done.out
        whole = cluster.kubectl("get", "clusterrole", "oddjob-test", "-o", "json")
        assert whole.code == 0, whole

        done = helm("upgrade", "oddjob-test", CHART, *common, "--set", "namespaces={helm-test}", environment=environment)
        assert done.code == 0 and "It serves the namespaces helm-test." in done.out, done
        assert cluster.kubectl("get", "clusterrole", "oddjob-test").code != 0
        assert cluster.get("role", "oddjob-test", namespace="helm-test")["rules"] == json.loads(whole.out)["rules"]

        done = helm("uninstall", "oddjob-test", "--namespace", "helm-test", environment=environment)
        assert done.code == 0, done
        assert cluster.kubectl("get", "-n", "helm-test", "deploy/oddjob-test").code != 0
        assert cluster.get("pvc", "oddjob-test", namespace="helm-test")["spec"]["accessModes"] == ["ReadWriteOnce"]
    finally:
        cluster.kubectl("delete", "namespace", "helm-test", "--wait=false")
