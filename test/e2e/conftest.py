import os
import sys

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "test" / "kubernetes"))
import cluster as kubernetes  # noqa: E402

REAL = {"real_cluster", "own_real_cluster"}


def pytest_collection_modifyitems(config, items):
    """Without a real Kubernetes, the tests that ask for one are not run."""
    if os.environ.get("ODDJOB_TEST_WITHOUT_REAL"):
        left_out = [i for i in items if REAL & set(i.fixturenames)]
        items[:] = [i for i in items if not REAL & set(i.fixturenames)]
        config.hook.pytest_deselected(items=left_out)


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
def cluster(tmp_path_factory):
    cluster = harness.DevCluster(tmp_path_factory.mktemp("cluster"))
    cluster.apply(harness.workload("payments", harness.OPEN),
                  harness.workload("bobs", {"oddjob.dev/allowed-users": "bob"}),
                  harness.workload("legacy"))
    for name in ("payments", "bobs", "legacy"):
        done = cluster.kubectl("wait", "--for=condition=available", f"deploy/{name}", "--timeout=30s")
        assert done.code == 0, done
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def shared_server(cluster, tmp_path_factory):
    server = harness.Server(tmp_path_factory.mktemp("server"), cluster.kubeconfig).start()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server):
    """A running server; tests that harm theirs use own_server."""
    assert shared_server.process.alive(), shared_server.log()[-4000:]
    return shared_server


@pytest.fixture
def own_server(cluster, tmp_path):
    server = harness.Server(tmp_path, cluster.kubeconfig)
    yield server
    if server.process and server.process.alive():
        server.process.kill()
