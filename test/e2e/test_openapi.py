"""The API does what its document says, whatever it is sent: Schemathesis on a real server.

The tries are made from the document by a fixed seed. script/schemathesis installs the program, before tests are run.
ODDJOB_SCHEMATHESIS_EXAMPLES=1000 looks longer.
"""

import json
import os
import re

import pytest
import yaml

import harness
from harness import ROOT, Process, eventually, run

DOCUMENT = ROOT / "src" / "api" / "openapi.json"
EXAMPLES = int(os.environ.get("ODDJOB_SCHEMATHESIS_EXAMPLES", "20"))
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
          "response_headers_conformance", "unsupported_method", "allow_header_conformance", "ignored_auth"]
# Streams last as long as their reader stays: test_run reads them.
STREAMS = "/stream$|/audit/export$"


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    """`oddjobd dev`: its sample workloads, their images, and its tokens."""
    folder = tmp_path_factory.mktemp("dev")
    ready = folder / "ready"
    process = Process([harness.ODDJOBD, "dev", "--directory", str(folder / "state"), "--ready-file", str(ready)],
                      folder / "dev.log")
    eventually(lambda: ready.exists() or not process.alive(), "dev is ready", 90)
    assert process.alive(), process.log.read_text()[-4000:]
    contexts = {c["name"]: c for c in yaml.safe_load((folder / "state" / "oddjob.yaml").read_text())["contexts"]}
    yield contexts, process
    process.stop()


def schemathesis(tmp_path, document, context, *more, phases, examples=EXAMPLES):
    """What became of it, and how many requests were tried."""
    with_token = ["-H", f"Authorization: Bearer {context['token']}"]
    # In a folder of its own: what it found earlier, it would try again.
    done = run(["env", "-C", str(tmp_path), str(ROOT / "script" / "schemathesis"), "run",
                str(document), "--url", context["server"], *with_token, "--checks", ",".join(CHECKS), "--phases", phases, "--exclude-path-regex", STREAMS,
                "--max-examples", str(examples), "--seed", "7", "--no-shrink", "--continue-on-failure",
                "--request-timeout", "60", "--suppress-health-check", "all", "--warnings", "off",
                "--max-failures", "20", *more],
               dict(os.environ, HYPOTHESIS_STORAGE_DIRECTORY=str(tmp_path / "hypothesis"), NO_COLOR="1"), 900)
    counted = re.search(r"(\d+) generated", done.out)
    return done, int(counted.group(1)) if counted else 0


@pytest.mark.parametrize("who,phases,more,least", [
    ("ann", "examples,coverage,fuzzing,stateful", [], 500),
    ("admin", "coverage,fuzzing", ["--include-path-regex", "/audit"], 50),  # what ann may not read
])
def test_no_answer_is_a_failure_or_undocumented(dev, tmp_path, who, phases, more, least):
    contexts, process = dev
    done, tried = schemathesis(tmp_path, DOCUMENT, contexts[who], *more, phases=phases)
    assert done.code == 0, done.out[-8000:] + done.err[-2000:]
    assert tried >= least, done.out[-4000:]
    log = process.log.read_text()
    assert process.alive(), log[-4000:]
    if who == "ann":
        # It went beyond what is refused at the door: runs were made, and what they link to was tried on them.
        for met in ("POST /api/v1/runs 201 ann", r"GET /api/v1/runs/[a-z2-7]{20} 200 ann", r"POST /api/v1/runs/[a-z2-7]{20}/cancel 200 ann"):
            assert re.search(met, log), met


def test_it_would_be_seen(dev, tmp_path):
    """A document that promises something else than the server does is found out."""
    contexts, _ = dev
    document = json.loads(DOCUMENT.read_text())
    document["paths"] = {"/api/v1/whoami": document["paths"]["/api/v1/whoami"]}
    document["components"]["schemas"]["Subject"]["properties"]["user"] = {"type": "integer"}
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    done, _ = schemathesis(tmp_path, path, next(iter(contexts.values())), examples=3, phases="coverage,fuzzing")
    assert done.code != 0 and "Response violates schema" in done.out, done
