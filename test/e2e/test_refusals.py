"""Bad input of every kind: one clear error that names what and where, and nothing started."""

import json

import pytest

import harness
from harness import eventually, workload


def jobs(cluster):
    return {j["metadata"]["name"] for j in cluster.get("jobs")["items"]}


def refused(server, cluster, user, *args, words, code=125):
    before = jobs(cluster)
    done = server.oddjob(user, "run", *args)
    assert done.code == code, done
    assert done.out == "", done
    for word in words:
        assert word in done.err, f"{word!r} is not in: {done.err}"
    assert len(done.err.splitlines()) <= 4, done.err
    assert jobs(cluster) == before
    return done


def test_a_workload_without_annotation(server, cluster):
    refused(server, cluster, "ann", "deploy/legacy", "--", "true",
            words=["deploy/legacy", "oddjob.dev/allowed-teams", "oddjob.dev/allowed-users"])


def test_somebody_in_no_team(server, cluster):
    refused(server, cluster, "bob", "deploy/payments", "--", "true", words=["bob", "deploy/payments", "payments"])


def test_a_refusal_is_in_the_audit(server, cluster):
    server.oddjob("bob", "run", "deploy/payments", "--", "echo", "let me in")
    events = json.loads(server.oddjob("root", "audit", "list", "-o", "json").out)["items"]
    assert any(e["type"] == "run.refused" and e["actor"] == "bob" for e in events), events[-3:]


@pytest.mark.parametrize("annotation,value,words", [
    ("oddjob.dev/alowed-teams", "payments", ["oddjob.dev/alowed-teams", "allowed-teams"]),
    ("oddjob.dev/max-timeout", "soon", ["oddjob.dev/max-timeout", "soon"]),
    ("oddjob.dev/approval", "maybe", ["oddjob.dev/approval", "maybe"]),
    ("oddjob.dev/allowed-commands", "[[1]]", ["oddjob.dev/allowed-commands"]),
])
def test_an_annotation_that_is_unknown_or_malformed(server, cluster, annotation, value, words):
    name = "bad-annotation"
    cluster.kubectl("delete", "deploy", name, "--ignore-not-found")
    cluster.apply(workload(name, {"oddjob.dev/allowed-teams": "payments", annotation: value}, replicas=0))
    refused(server, cluster, "ann", f"deploy/{name}", "--", "true", words=words)


def test_a_workload_that_is_missing(server, cluster):
    refused(server, cluster, "ann", "deploy/nowhere", "--", "true", words=["deploy/nowhere", "default"])


def test_a_namespace_that_is_missing(server, cluster):
    refused(server, cluster, "ann", "-n", "nowhere", "deploy/payments", "--", "true", words=["nowhere"])


def test_two_containers_and_none_named(server, cluster):
    two = workload("two", {"oddjob.dev/allowed-teams": "payments"}, replicas=0)
    two["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "example.org/side:1"})
    cluster.apply(two)
    refused(server, cluster, "ann", "deploy/two", "--", "true", words=["main", "side", "--container"])


def test_a_container_that_is_not_there(server, cluster):
    refused(server, cluster, "ann", "deploy/payments", "--container", "nope", "--", "true", words=["nope", "main"])


def test_no_command(server, cluster):
    refused(server, cluster, "ann", "deploy/payments", words=["command"])
    refused(server, cluster, "ann", "deploy/payments", "--", words=["command"])
    refused(server, cluster, "ann", "deploy/payments", "--", "", words=["command"])


def test_a_command_over_128_kib(server, cluster):
    refused(server, cluster, "ann", "deploy/payments", "--", "echo", "x" * 100_000, "y" * 40_000, words=["128 KiB"])


def test_a_command_with_a_nul(server, cluster):
    before = jobs(cluster)
    status, problem, _ = server.api("ann").post("/api/v1/runs", {
        "namespace": "default", "workload": "deploy/payments", "command": ["echo", "a\0b"]})
    assert status == 400 and "NUL" in problem["detail"], problem
    assert jobs(cluster) == before


def test_a_timeout_over_the_limit(server, cluster):
    cluster.apply(workload("short", {"oddjob.dev/allowed-teams": "payments", "oddjob.dev/max-timeout": "5m"},
                           replicas=0))
    refused(server, cluster, "ann", "deploy/short", "--timeout", "10m", "--", "true", words=["max-timeout", "5m"])


def test_an_image_that_cannot_be_pulled_is_shown_as_it_happens(server, cluster):
    cluster.apply(workload("nopull", {"oddjob.dev/allowed-teams": "payments"}, replicas=0,
                           image="registry.invalid/app:1"))
    done = server.oddjob("ann", "run", "deploy/nopull", "--timeout", "6s", "--", "true", seconds=60)
    assert done.code == 125, done
    assert "ErrImagePull" in done.err or "ImagePullBackOff" in done.err, done


def test_a_pod_that_cannot_be_scheduled_says_why(server, cluster):
    made = workload("nonode", {"oddjob.dev/allowed-teams": "payments"}, replicas=0)
    made["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "none-such"}
    cluster.apply(made)
    done = server.oddjob("ann", "run", "deploy/nonode", "--timeout", "5s", "--", "true", seconds=60)
    assert done.code == 125 and "nschedulable" in done.err, done


def test_a_job_name_that_is_taken_by_something_else_is_never_adopted(own_server, cluster):
    # The name is fixed when the intent is committed; the server is stopped right after it.
    own_server.start({"ODDJOB_CRASH_AT": "store.commit.after/create_run:1"})
    own_server.oddjob("ann", "run", "deploy/payments", "--detach", "--idempotency-key", "k1", "--", "echo", "mine",
                      extra={"ODDJOB_SUBMIT_DEADLINE": "1s"}, seconds=120)
    eventually(lambda: not own_server.process.alive(), "the server died at its first commit")
    (document,), = harness.read_database(own_server.database, "select document from runs")
    name = json.loads(document)["jobName"]
    cluster.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "c", "image": "example.org/x:1", "command": ["true"]}]}}}})
    own_server.start()
    api = own_server.api()
    run = eventually(lambda: (items := api.get("/api/v1/runs")[1]["items"]) and items[0]["state"] == "failed"
                     and items[0], "the run fails")
    assert name in run["message"], run
    assert cluster.get("job", name)["metadata"].get("labels", {}).get("oddjob.dev/run-id") is None


def test_without_identity_the_answer_is_401(server):
    status, problem, _ = server.api(None).get("/api/v1/runs")
    assert (status, problem["code"]) == (401, "auth.missing")
    status, problem, _ = server.api("nobody").get("/api/v1/whoami")
    assert status == 401
    assert harness.token_of("nobody") not in json.dumps(problem) + server.log()


def test_a_body_over_the_limit_is_413(server):
    status, _, _ = server.api("ann").call("POST", "/api/v1/runs", raw=b"x" * (8 << 20),
                                          headers={"Content-Type": "application/json"})
    assert status == 413


def test_malformed_json_names_the_place(server):
    status, problem, _ = server.api("ann").call("POST", "/api/v1/runs", raw=b'{"namespace": ',
                                                headers={"Content-Type": "application/json"})
    assert status == 400 and problem["code"] == "json.malformed", problem


def test_an_unknown_field_is_named(server):
    status, problem, _ = server.api("ann").post("/api/v1/runs", {
        "namespace": "default", "workload": "deploy/payments", "command": ["true"], "comand": []})
    assert status == 400 and "comand" in problem["detail"], problem


def test_strangers_do_not_see_the_run(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--detach", "-o", "json", "--", "true")
    run = json.loads(done.out)["id"]
    status, _, _ = server.api("bob").get(f"/api/v1/runs/{run}")
    assert status in (403, 404)
    status, page, _ = server.api("bob").get("/api/v1/runs")
    assert run not in [r["id"] for r in page["items"]]
