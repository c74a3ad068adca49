import os
import sys

import pytest

import faults
import harness
import people
import rbac

sys.path.insert(0, str(harness.ROOT / "test" / "kubernetes"))
import cluster as kubernetes  # noqa: E402

REAL = {"real_cluster", "own_real_cluster", "mended_cluster"}
# Whole files whose tests have a real Kubernetes of their own.
REAL_ONLY = {"test_company", "test_front_proxy", "test_install"}
# Their tests run twice: on the dev cluster, and on a real Kubernetes as [real].
ON_BOTH = {"test_run", "test_refusals", "test_rbac", "test_chart", "test_image"}


def is_real(item):
    where = getattr(item, "callspec", None)
    return item.module.__name__ in REAL_ONLY or bool(REAL & set(item.fixturenames)) or (where is not None and where.params.get("cluster") == "real")


def pytest_generate_tests(metafunc):
    if "cluster" in metafunc.fixturenames and metafunc.module.__name__ in ON_BOTH:
        metafunc.parametrize("cluster", ["dev", "real"], indirect=True, scope="session")


def pytest_collection_modifyitems(config, items):
    """$ODDJOB_TEST_CLUSTERS selects the tests that need a real Kubernetes ("real") or the others ("dev")."""
    clusters = os.environ.get("ODDJOB_TEST_CLUSTERS")
    if clusters:
        left_out = [i for i in items if is_real(i) != (clusters == "real")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [i for i in items if is_real(i) == (clusters == "real")]


@pytest.fixture(scope="session")
def real_cluster(tmp_path_factory):
    """A real Kubernetes that all tests share (test/kubernetes/cluster.py): leave it whole, and
    take a namespace of your own. With $ODDJOB_TEST_KUBECONFIG, the cluster named there."""
    shared = kubernetes.from_environment(tmp_path_factory.mktemp("k8s"))
    yield shared
    shared.stop()


@pytest.fixture
def own_real_cluster(tmp_path):
    """A real Kubernetes for one test, to be broken."""
    if os.environ.get("ODDJOB_TEST_KUBECONFIG"):
        pytest.skip("the cluster of ODDJOB_TEST_KUBECONFIG is not ours to break")
    with kubernetes.Cluster(tmp_path / "k8s") as own:
        yield own


@pytest.fixture(scope="session")
def mended_cluster(tmp_path_factory):
    """A second real Kubernetes, that tests break; whoever does mends it again."""
    if os.environ.get("ODDJOB_TEST_KUBECONFIG"):
        pytest.skip("the cluster of ODDJOB_TEST_KUBECONFIG is not ours to break")
    with kubernetes.Cluster(tmp_path_factory.mktemp("mended")) as cluster:
        cluster.restore_rbac = lambda: rbac.install(cluster, cluster.folder)
        cluster.server_kubeconfig = cluster.restore_rbac()
        yield cluster


@pytest.fixture
def place(mended_cluster, tmp_path, request):
    """A namespace for one fault; what is killed in the cluster is up again afterwards."""
    assert all(part.alive() for part in mended_cluster.parts()), "an earlier test has not mended the cluster"
    number = request.session.__dict__.setdefault("places", iter(range(10000)))
    place = faults.Place(mended_cluster, tmp_path, f"fault-{next(number)}", mended_cluster.server_kubeconfig)
    yield place
    for part in mended_cluster.parts():
        if not part.alive():
            part.start()
    place.leave()


@pytest.fixture(scope="session")
def cluster(request, tmp_path_factory):
    """A dev cluster; a real Kubernetes where the test runs on both."""
    real = getattr(request, "param", "dev") == "real"
    cluster = request.getfixturevalue("real_cluster") if real else harness.DevCluster(tmp_path_factory.mktemp("cluster"))
    cluster.apply(harness.workload("payments", harness.OPEN),
                  harness.workload("bobs", {"oddjob.dev/allowed-users": "bob"}),
                  harness.workload("legacy"))
    for name in ("payments", "bobs", "legacy"):
        done = cluster.kubectl("wait", "--for=condition=available", f"deploy/{name}", "--timeout=120s", seconds=150)
        assert done.code == 0, done
    yield cluster
    if not real:
        cluster.stop()


@pytest.fixture(scope="session")
def server_kubeconfig(cluster, tmp_path_factory):
    """What a server comes with: on a real cluster the service account that holds deploy/rbac, no more."""
    if isinstance(cluster, harness.DevCluster):
        return cluster.kubeconfig
    return rbac.install(cluster, tmp_path_factory.mktemp("account"))


@pytest.fixture(scope="session")
def shared_server(server_kubeconfig, tmp_path_factory):
    server = harness.Server(tmp_path_factory.mktemp("server"), server_kubeconfig).start()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server):
    """A running server; tests that harm theirs use own_server."""
    assert shared_server.process.alive(), shared_server.log()[-4000:]
    return shared_server


@pytest.fixture
def own_server(server_kubeconfig, tmp_path):
    server = harness.Server(tmp_path, server_kubeconfig)
    yield server
    if server.process and server.process.alive():
        server.process.kill()


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    """An OpenID provider that the tests of a file share; whoever takes it down starts it again."""
    running = people.oidc.Provider(tmp_path_factory.mktemp("provider"), people.ACCOUNTS).start()
    yield running
    running.stop()
