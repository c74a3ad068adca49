"""kubectl's verbs and flags on the dev cluster and on a real one: do the answers agree?

Names that are made, times, uids, addresses and versions are masked. The table of docs/dev-cluster.md is what
came out here; with ODDJOB_WRITE_DOCS=1 it is written anew.
"""

import difflib
import os
import re

import pytest

import harness
from kubectl_steps import NAMESPACE, STEPS

PAGE = harness.ROOT / "docs" / "dev-cluster.md"
BEGIN, END = "<!-- made by test/e2e/test_kubectl_agreement.py -->\n", "<!-- end -->\n"

MASKS = [(re.compile(pattern), by) for pattern, by in (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "TIME"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
    (r"https?://[^\s\x1b]+", "URL"),
    (r"\b(\d{1,3}\.){3}\d{1,3}(:\d+)?\b", "ADDRESS"),
    (r"\b(resourceVersion\"?: )\"?\d+\"?", r"\1VERSION"),
    (r"\b(web|hello|bad|made|by-hand)-[bcdfghjklmnpqrstvwxz2456789]{6,10}\b", r"\1-HASH"),
    (r"\b(web-HASH|hello|bad|made|by-hand)-[bcdfghjklmnpqrstvwxz2456789]{5}\b", r"\1-ID"),
    (r"\b(pod-template-hash\"?[=:] ?\"?)[bcdfghjklmnpqrstvwxz2456789]{6,10}\b", r"\1HASH"),
    (r"\b(kube-api-access-)[a-z0-9]{5}\b", r"\1ID"),
    (r"\b(<invalid>|((\d+[dhms])+))\b( ago)?", "AGE"),
    (r"\b(sha256:)[0-9a-f]{64}", r"\1DIGEST"),
    (r"(containerID: |Container ID: +)\S+", r"\1CONTAINER"),
    (r"/\S+/(LIVE|MERGED)-\d+/", r"\1/"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+0000", "TIME"),
)]

# What the kubelet of the tests says of its own circumstances.
OF_THE_NODE = ("MissingClusterDNS",)


def masked(text, cluster_node):
    text = re.sub(rf"(?<![\w/.-]){re.escape(cluster_node)}(?![\w.-])", "NODE", text)
    for pattern, by in MASKS:
        text = pattern.sub(by, text)
    lines = [re.sub(r"[ \t]+", " ", re.sub(r"-{3,}", "---", line)).rstrip() for line in text.splitlines()]
    return [line for line in lines if not any(words in line for words in OF_THE_NODE)]


def answer(cluster, step, node):
    if step.until:
        ready = cluster.kubectl("-n", NAMESPACE, *step.until, seconds=90)
        assert ready.code == 0, (step.argv, ready)
    done = cluster.kubectl("-n", NAMESPACE, *step.argv, stdin=step.stdin, seconds=90)
    lines = masked(done.out, node) + ["stderr: " + line for line in masked(done.err, node)]
    return [f"exit {done.code}"] + (lines if step.ordered else sorted(lines))


def table():
    rows = {}
    for step in STEPS:
        agreeing, differing = rows.setdefault(step.verb, ([], []))
        flags = step.flags or "plain"
        where, text = (differing, f"{flags}: {step.differs}") if step.differs else (agreeing, flags)
        if text not in where:
            where.append(text)
    lines = ["| kubectl | the same answer | another answer |", "|---|---|---|"]
    lines += [f"| `{verb}` | {' · '.join(same)} | {' · '.join(other)} |" for verb, (same, other) in rows.items()]
    return "\n".join(lines) + "\n"


def test_the_answers_agree_and_the_table_says_so(cluster, real_cluster):
    both = (cluster, real_cluster)
    program = real_cluster.kubectl_program
    kept, cluster.kubectl_program = cluster.kubectl_program, program
    version = lambda one: one.kubectl("version", "-o", "jsonpath={.serverVersion.minor}").out
    if version(cluster) != version(real_cluster):
        pytest.skip(f"the dev cluster is as Kubernetes 1.{version(cluster)} is, not 1.{version(real_cluster)}")
    nodes, wrong = [], []
    try:
        for one in both:
            made = one.kubectl("create", "namespace", NAMESPACE)
            assert made.code == 0, made
            harness.eventually(lambda: one.kubectl("-n", NAMESPACE, "get", "sa", "default").code == 0, "the namespace is whole")
            nodes.append(one.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}").out)
        for step in STEPS:
            dev, real = (answer(one, step, node) for one, node in zip(both, nodes))
            if (dev == real) == bool(step.differs):
                diff = "\n".join(difflib.unified_diff(real, dev, "real", "dev", lineterm="", n=1))
                wrong.append(f"kubectl {' '.join(step.argv)}: {'they agree now' if dev == real else diff}")
    finally:
        for one in both:
            one.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        cluster.kubectl_program = kept
    assert not wrong, "\n\n".join(wrong)
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    wanted = before + BEGIN + table() + END + after
    if os.environ.get("ODDJOB_WRITE_DOCS"):
        PAGE.write_text(wanted)
    assert page == wanted, "the table in docs/dev-cluster.md is not what came out; ODDJOB_WRITE_DOCS=1 writes it"
