"""docs/install.md, command by command on a real control plane, as somebody would who follows the page.

What a machine without a container runtime cannot do is done by the test in the same
place: pushing to a registry, and being the node (`rollout status`, `port-forward`).
"""

import cluster as kubernetes
from harness import workload
from reader import Reader, commands


def test_every_command_of_the_page(tmp_path, tmp_path_factory):
    clusters = {}

    def reader(name, image=None):
        if name not in clusters:
            folder = tmp_path / name
            (folder / "server").mkdir(parents=True)
            cluster = kubernetes.Cluster(tmp_path_factory.mktemp("k8s"), node=name == "one")
            try:
                cluster.start()
            except BaseException:
                cluster.stop()
                raise
            cluster.apply(workload("payments"))
            cluster.kubectl("create", "namespace", "payments")
            clusters[name] = Reader(cluster, folder / "clone", image)
        return clusters[name]

    said = {}
    try:
        for section, command in commands():
            if section == "Without Helm":
                other = reader("another", reader("one").image)
                other.shell("kubectl create namespace oddjob")
                other.shell(f"kubectl -n oddjob create secret tls oddjob-tls --cert={reader('one').folder}/tls.crt "
                            f"--key={reader('one').folder}/tls.key")
                said[command] = other.follow(command)
                other.be_the_node()
            else:
                said[command] = reader("one").follow(command)
            if "helm upgrade" in command:
                reader("one").be_the_node()
        assert "system:serviceaccount:default:ann" in said["oddjob whoami"], said
        assert said["oddjob run deploy/payments -- echo hello"] == "hello\n", said
        assert "front_proxy" in said["kubectl oddjob whoami"] and "system:masters" in said["kubectl oddjob whoami"], said
        assert said["kubectl oddjob run deploy/payments -- echo hello again"] == "hello again\n", said
        claims = reader("one").cluster.get("pvc", namespace="oddjob")["items"]
        assert [c["metadata"]["name"] for c in claims] == ["oddjob"], "the audit outlives the release"
    finally:
        for one in clusters.values():
            one.stop()
            one.cluster.stop()
