import pytest

import harness


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
