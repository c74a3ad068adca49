"""The configuration file: its schema and check-config agree; what changes in it is taken up without a restart."""

import json
import os
import re
import signal

import jsonschema
import pytest
import yaml

import harness
from harness import eventually, run

HOOK = {"name": "chat", "url": "https://chat.example.com/x", "secretFile": "/s"}

# (document, whether it is right)
DOCUMENTS = [
    ({}, True),
    ({"listen": {"port": 8443, "address": "0.0.0.0"}}, True),
    ({"listen": {"port": 70000}}, False),
    ({"listen": {"port": "8443"}}, False),
    ({"listen": {"port": 8443.5}}, False),
    ({"listen": {"prot": 8443}}, False),
    ({"listen": 8443}, False),
    ({"lisen": {"port": 8443}}, False),
    ({"auth": {"tokenReview": False, "adminTeams": ["sre"]}}, True),
    ({"auth": {"tokenReview": "false"}}, False),
    ({"auth": {"adminTeams": "sre"}}, False),
    ({"auth": {"adminTeams": [1]}}, False),
    ({"auth": {"aliases": [["ann", "a.smith"]]}}, True),
    ({"auth": {"aliases": [["ann"]]}}, False),
    ({"auth": {"aliases": ["ann"]}}, False),
    ({"auth": {"aliases": [["ann", " "]]}}, False),
    ({"runs": {"pendingJobs": "deferred"}}, True),
    ({"runs": {"pendingJobs": "later"}}, False),
    ({"limits": {"startTimeout": "1h30m", "shutdownGrace": "500ms"}}, True),
    ({"limits": {"startTimeout": "0.5h"}}, True),
    ({"limits": {"startTimeout": "0s"}}, False),
    ({"limits": {"shutdownDelay": "0s"}}, True),
    ({"limits": {"shutdownDelay": "5s"}}, True),
    ({"limits": {"shutdownDelay": "0"}}, False),
    ({"limits": {"startTimeout": "90"}}, False),
    ({"retention": {"logMaxAge": "30d", "logMaxBytes": 0}}, True),
    ({"retention": {"logMaxAge": "0s"}}, True),
    ({"retention": {"logMaxAge": "30"}}, False),
    ({"retention": {"logMaxBytes": -1}}, False),
    ({"retention": {"audit": "1d"}}, False),
    ({"limits": {"startTimeout": 90}}, False),
    ({"limits": {"startTimeout": "-5s"}}, False),
    ({"limits": {"requestsPerMinute": 0, "activeRunsPerSubject": 5}}, True),
    ({"limits": {"requestsPerMinute": -1}}, False),
    ({"limits": {"maxLogBytes": 1099511627776}}, True),
    ({"limits": {"maxLogBytes": 1099511627777}}, False),
    ({"hooks": [HOOK]}, True),
    ({"hooks": [dict(HOOK, events=["run.finished"], timeout="5s", caFile="/ca")]}, True),
    ({"hooks": [dict(HOOK, url="http://[::1]:8080/x")]}, True),
    ({"hooks": [dict(HOOK, url="http://chat.example.com/x")]}, False),
    ({"hooks": [dict(HOOK, url="https://user@chat.example.com/x")]}, False),
    ({"hooks": [dict(HOOK, events=["run.exploded"])]}, False),
    ({"hooks": [dict(HOOK, colour="red")]}, False),
    ({"hooks": [dict(HOOK, name="X y")]}, False),
    ({"hooks": [{k: v for k, v in HOOK.items() if k != "secretFile"}]}, False),
    ({"hooks": HOOK}, False),
    ({"hooks": [dict(HOOK, name=f"h{i}") for i in range(20)]}, True),
    ({"hooks": [dict(HOOK, name=f"h{i}") for i in range(21)]}, False),
    ({"log": {"level": "debug", "format": "json"}}, True),
    ({"log": {"level": "loud"}}, False),
    ({"log": None}, False),
    ({"log": {"level": None}}, False),
]
# What a schema cannot say: check-config alone refuses it.
BEYOND_A_SCHEMA = [
    {"listen": {"tlsCertFile": "/tls.crt"}},
    {"hooks": [HOOK, HOOK]},
    {"hooks": [dict(HOOK, timeout="2m")]},
]


def schema():
    done = run([harness.ODDJOBD, "config-schema"])
    assert done.code == 0, done
    return json.loads(done.out)


def check(tmp_path, document):
    path = tmp_path / "oddjobd.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ODDJOBD_")}
    return run([harness.ODDJOBD, "check-config", str(path)], clean)


def test_the_schema_and_check_config_agree(tmp_path):
    checker = jsonschema.Draft7Validator
    checker.check_schema(schema())
    validator = checker(schema())
    for document, right in DOCUMENTS:
        done = check(tmp_path, document)
        assert (done.code == 0) == right, (document, done)
        assert validator.is_valid(document) == right, (document, list(validator.iter_errors(document)))
    for document in BEYOND_A_SCHEMA:
        assert check(tmp_path, document).code != 0, document
        assert validator.is_valid(document), document


def test_every_default_in_the_schema_is_taken(tmp_path):
    document = {}
    for name, section in schema()["properties"].items():
        for key, value in section.get("properties", {}).items():
            assert value["description"], (name, key)
            if "default" in value:
                document.setdefault(name, {})[key] = value["default"]
    assert len(document) >= 8
    jsonschema.Draft7Validator(schema()).validate(document)
    done = check(tmp_path, document)
    assert done.code == 0, done


def test_every_key_is_documented_with_what_a_reload_does():
    text = (harness.ROOT / "docs" / "configuration.md").read_text()
    rows = {}
    for row in re.findall(r"^\| `.*$", text, re.M):
        cells = [c.strip() for c in row.strip("|").split("|")]
        for key in re.findall(r"`([a-zA-Z.]+)`", cells[0]):
            rows[key] = cells
    for name, section in schema()["properties"].items():
        for key in [f"{name}.{k}" for k in section.get("properties", {})] or [name]:
            assert key in rows, f"{key} has no row in docs/configuration.md"
            assert rows[key][-1] in ("live", "restart"), rows[key]
    listed = run([harness.ODDJOBD, "serve", "--help"]).out
    for key, cells in rows.items():
        line = next((x for x in listed.splitlines() if x.split() and x.split()[0] == key), None)
        if line is not None:
            assert ("(live)" in line) == (cells[-1] == "live"), (key, cells[-1], line)


def test_all_problems_are_said_with_their_lines(tmp_path):
    done = check(tmp_path, "listen:\n  port: 70000\n  prot: 1\nhooks:\n- name: x\n  url: ftp://x/\n  secretFile: s\n")
    assert done.code != 0
    for part in (":2: listen.port: ", ":3: unknown key 'listen.prot'", ":6: hooks[0].url: ", "did you mean 'listen.port'"):
        assert part in done.err, done.err


@pytest.fixture
def mounted(own_server, tmp_path):
    """A server whose configuration lies as a ConfigMap is mounted: behind links that are swapped."""
    folder = tmp_path / "mount"
    folder.mkdir()
    count = iter(range(100))

    def put(text):
        data = folder / f"..data-{next(count)}"
        data.mkdir()
        (data / "oddjobd.yaml").write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        link = folder / "..new"
        link.symlink_to(data.name)
        link.rename(folder / "..data")

    put(own_server.config)
    path = folder / "oddjobd.yaml"
    path.symlink_to("..data/oddjobd.yaml")
    ready = tmp_path / "ready"
    own_server.process = harness.Process([harness.ODDJOBD, "serve", "--config", str(path), "--ready-file", str(ready)],
                                         tmp_path / "server.log", dict(os.environ))
    eventually(lambda: ready.exists() or not own_server.process.alive(), "the server is ready", 30)
    own_server.url = ready.read_text().strip()
    own_server.put = put
    return own_server


def metric(server, name):
    text = server.api(None).call("GET", "/metrics")[1].decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))


def test_a_changed_configuration_is_taken_up_as_far_as_it_can_be(mounted):
    server = mounted
    assert metric(server, "oddjob_config_last_reload_successful") == 1
    first = metric(server, "oddjob_config_last_reload_success_timestamp_seconds")
    assert server.api("ann").get("/api/v1/whoami")[1]["admin"] is False

    # Seen by itself; what can be taken up is, the rest is named.
    config = json.loads(json.dumps(server.config))
    config["auth"]["adminTeams"] = ["payments"]
    config["log"] = {"level": "debug"}
    config["database"]["busyTimeout"] = "3s"
    server.put(config)
    eventually(lambda: server.api("ann").get("/api/v1/whoami")[1]["admin"], "ann is an admin now", 60)
    assert "new: auth.adminTeams, log.level" in server.log()
    assert "needs a restart: database.busyTimeout" in server.log()
    assert metric(server, "oddjob_config_last_reload_success_timestamp_seconds") > first

    # What is wrong changes nothing, and is said with its place.
    server.put("auth:\n  adminTeams: []\n  tokenReview: maybe\n")
    server.process.child.send_signal(signal.SIGHUP)
    eventually(lambda: metric(server, "oddjob_config_last_reload_successful") == 0, "the metric tells", 30)
    assert re.search(r"kept the old configuration: .*oddjobd.yaml:3: auth.tokenReview: expected true or false", server.log())
    assert server.api("ann").get("/api/v1/whoami")[1]["admin"] is True

    # A limit, from now on.
    config["limits"] = {"requestsPerMinute": 1}
    server.put(config)
    server.process.child.send_signal(signal.SIGHUP)
    eventually(lambda: metric(server, "oddjob_config_last_reload_successful") == 1, "it is right again", 30)
    codes = [server.api("bob").get("/api/v1/whoami")[0] for _ in range(3)]
    assert 429 in codes, codes
    assert server.process.stop() == 0, server.log()


def test_a_server_that_is_told_to_end_says_so_before_it_does(own_server):
    own_server.config["limits"] = {"shutdownDelay": "10s"}
    server = own_server.start()
    eventually(lambda: server.api(None).get("/readyz")[0] == 200, "it is ready", 60)
    server.process.child.send_signal(signal.SIGTERM)
    status, problem, _ = eventually(lambda: (a := server.api(None).get("/readyz"))[0] == 503 and a, "it is not ready any more", 9)
    assert problem["code"] == "server.stopping", problem
    assert server.api("ann").get("/api/v1/whoami")[0] == 200, "whoever still comes is served"
    assert server.process.child.wait(60) == 0, server.log()
