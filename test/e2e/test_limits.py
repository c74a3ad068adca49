"""What one caller may ask for is bounded; others, and what runs already, do not notice."""

import concurrent.futures
import json
import re
import subprocess
import urllib.error
import urllib.request

import pytest

from harness import ROOT, eventually, token_of

LINES = 400


@pytest.fixture
def limited(own_server):
    own_server.config["limits"] = {"requestsPerMinute": 60, "runsPerMinute": 5, "unauthenticatedPerMinute": 10,
                                   "activeRunsPerSubject": 2}
    own_server.start()
    # Without the API's own client, which waits for that by itself.
    eventually(lambda: own_server.api(None).get("/readyz")[0] == 200, "the server has the cluster in view", 60)
    return own_server


def ask(server, token, path="/api/v1/whoami"):
    """(status, headers, body)"""
    request = urllib.request.Request(server.url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), json.loads(answer.read())
    except urllib.error.HTTPError as e:
        return e.code, dict(e.headers), json.loads(e.read())


def refused(answers):
    return [a for a in answers if a[0] == 429]


def test_a_flood_by_one_subject_harms_neither_others_nor_what_runs(limited):
    server = limited
    # A run that writes for a while, and is watched meanwhile.
    script = f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 7"
    watched = server.popen("ann", "run", "deploy/payments", "--", "sh", "-c", script,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    eventually(lambda: any(r["state"] == "running" for r in server.api().get("/api/v1/runs")[1]["items"]),
               "the run runs", 60)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        flood = list(pool.map(lambda _: ask(server, token_of("ann")), range(300)))
        strangers = list(pool.map(lambda _: ask(server, "nobody-knows-this-token"), range(40)))
    assert {a[0] for a in flood} == {200, 429}, {a[0] for a in flood}
    assert len(refused(flood)) >= 100
    for status, headers, problem in refused(flood):
        assert 1 <= int(headers["Retry-After"]) <= 60, headers
        assert headers["Content-Type"] == "application/problem+json"
        assert problem["code"] == "limits.requests" and problem["status"] == 429
        assert "limits.requestsPerMinute is 60" in problem["detail"]
        assert f"{headers['Retry-After']} s" in problem["hint"]
    assert {a[0] for a in strangers} == {401, 429}
    assert all(p["code"] == "limits.unauthenticated" and int(h["Retry-After"]) >= 1 for _, h, p in refused(strangers))

    # Others from the same address are served, and so are the probes.
    assert ask(server, token_of("bob"))[0] == 200
    for path in ("/healthz", "/readyz", "/metrics"):
        assert server.api(None).call("GET", path)[0] == 200

    # The stream that was open goes on to its end.
    out, err = watched.communicate(timeout=120)
    assert watched.returncode == 7, err[-2000:]
    assert out.splitlines() == [f"line {i + 1}" for i in range(LINES)]

    text = server.api(None).call("GET", "/metrics")[1].decode()
    assert float(re.search(r'^oddjob_requests_limited_total{limit="requests"} (\S+)$', text, re.M).group(1)) >= 100
    assert float(re.search(r'^oddjob_requests_limited_total{limit="unauthenticated"} (\S+)$', text, re.M).group(1)) >= 1


def test_the_command_line_waits_as_it_is_told(limited):
    server = limited
    while ask(server, token_of("root"))[0] == 200:
        pass
    done = server.oddjob("root", "whoami")
    assert done.code == 0 and "root" in done.out, done


def test_runs_are_counted_for_each_subject(limited):
    server = limited
    api = server.api("ann")
    body = {"namespace": "default", "workload": "deploy/payments", "command": ["sleep", "300"]}
    ids = []
    for _ in range(2):
        status, run, _ = api.post("/api/v1/runs", body)
        assert status == 201, run
        ids.append(run["id"])
    status, problem, _ = api.post("/api/v1/runs", body)
    assert status == 429 and problem["code"] == "runs.busy_subject", problem
    assert "limits.activeRunsPerSubject" in problem["detail"] and "2 runs" in problem["detail"]
    # One comes back every 12 s, so that even a slow machine runs out of them.
    codes = [(answer[0], answer[1].get("code"), answer[1].get("detail")) for answer in
             (api.post("/api/v1/runs", body) for _ in range(12))]
    assert {c[0] for c in codes} == {429}, codes
    assert any(code == "limits.runs" and "limits.runsPerMinute is 5" in detail for _, code, detail in codes), codes
    # What ends makes room, for whoever has requests left.
    for run_id in ids:
        assert api.post(f"/api/v1/runs/{run_id}/cancel", {})[0] == 200
    done = server.oddjob("ann", "run", "deploy/payments", "--", "true", extra={"ODDJOB_SUBMIT_DEADLINE": "2m"})
    assert done.code == 0, done


def test_the_alerts_know_of_it():
    assert "oddjob_requests_limited_total" in (ROOT / "deploy" / "monitoring" / "alerts.yaml").read_text()
