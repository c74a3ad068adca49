"""docs/install.md, step by step on a real control plane, as somebody would who follows the page.

What a machine without a container runtime cannot do is done by the test in the same place: pushing to a registry, and
being the node that the server's pod is on (`rollout status`, `port-forward`). STANDS_FOR and `around` are the company.
"""

import re

import cluster as kubernetes
from harness import ROOT
from people import oidc
from reader import Reader, steps

PAGE = "install.md"
# Addresses on the page, of which there is one provider here, which signs people's tokens and pipelines'.
STANDS_FOR = ("https://login.example.com", "https://gitlab.example.com")
PIPELINE = dict(aud="oddjob", sub="project_path:acme/payments", project_path="acme/payments", ref="main",
                ref_protected="true", email=None, email_verified=None, groups=None)


def around(reader, provider):
    """What a company has: an authority, a CI system that hands out tokens, and ann before a browser of hers."""
    (reader.folder / "company-ca.crt").write_text(open(provider.ca).read())
    token = reader.folder / "ci.token"
    token.write_text(oidc.sign(provider.claims(**PIPELINE), provider.keys[0]))
    token.chmod(0o600)
    browser = reader.folder / "bin" / "browser"
    browser.write_text("#!/usr/bin/python3\nimport sys\n"
                       f"sys.path.insert(0, {str(ROOT / 'test' / 'oidc')!r})\nimport provider\n"
                       f"provider.Browser({provider.ca!r}).walk(sys.argv[1], 'ann')\n")
    browser.chmod(0o755)
    reader.environment["BROWSER"] = str(browser)


def left_of_the_release(cluster):
    """Whatever of the chart is still in the cluster."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").out.split()
    listed = cluster.kubectl("get", ",".join(kinds), "--all-namespaces", "--ignore-not-found", "-o", "name",
                             "--selector", "app.kubernetes.io/instance=oddjob")
    return sorted(listed.out.split())


def test_the_page_is_tried_whole_and_the_readme_leads_to_it():
    text = (ROOT / "docs" / PAGE).read_text()
    commands = [content for _, kind, content in steps(PAGE) if kind == "command"]
    assert commands == re.findall(r"(?m)^\$ (.+)$", text) and len(commands) > 30
    section = (ROOT / "README.md").read_text().split("## Use it on your cluster", 1)[1].split("\n## ", 1)[0]
    assert section.strip().startswith("**[docs/install.md](docs/install.md) is the way in:**")


def check(said):
    """That what the commands printed is what the page has them for."""
    run = "run deploy/payments -- echo "
    for words in ("hello", "hello from me", "hello still"):
        assert [out for command, out in said.items() if command.endswith(run + words)] == [words + "\n"], said
    assert said["oddjob run --token-file ci.token deploy/payments -- echo hello from a pipeline"] == "hello from a pipeline\n"
    assert "front_proxy" in said["kubectl oddjob whoami"] and "system:masters" in said["kubectl oddjob whoami"], said
    assert "ann@example.com" in said["oddjob whoami"] and "payments" in said["oddjob whoami"], said
    assert "deploy/payments" in said["kubectl oddjob ls"] and "run.requested" in said["kubectl oddjob audit list"], said
    assert "5 records" in said["kubectl oddjob audit verify"], said


def test_every_step_of_the_page(tmp_path, tmp_path_factory, provider):
    readers = {}

    def reader(name, image=None):
        if name not in readers:
            cluster = kubernetes.Cluster(tmp_path_factory.mktemp("k8s"), node=name == "one")
            try:
                cluster.start()
            except BaseException:
                cluster.stop()
                raise
            readers[name] = Reader(cluster, tmp_path / name, image, dict.fromkeys(STANDS_FOR, provider.issuer))
        return readers[name]

    said = {}
    try:
        around(reader("one"), provider)
        for section, kind, content in steps(PAGE):
            if section == "Without Helm":
                other, first = reader("another", reader("one").image), reader("one").folder
                other.shell("kubectl create namespace oddjob")
                other.shell(f"kubectl -n oddjob create secret tls oddjob-tls --cert={first}/tls.crt --key={first}/tls.key")
                other.follow(kind, content)
                other.be_the_node()
                continue
            said[content] = reader("one").follow(kind, content)
            if content.startswith("helm uninstall "):
                assert left_of_the_release(reader("one").cluster) == ["persistentvolumeclaim/oddjob"]
        check(said)
    finally:
        for one in readers.values():
            one.stop()
            one.cluster.stop()
