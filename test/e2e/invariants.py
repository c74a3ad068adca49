"""What holds after every fault, whatever it was.

A run's command leaves a mark of its own (Witness), which neither OddJob nor Kubernetes
writes: so what really ran is known, and compared with what the records say.
"""

from harness import FINAL, eventually, workload


class Witness:
    """A folder of the machine that the workload `name` mounts at /witness. Commands write
    `run-id` once each time they really start; and wait there for gates that a test opens."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)

    def workload(self, name, annotations):
        made = workload(name, annotations, replicas=0, volumeMounts=[{"name": "witness", "mountPath": "/witness"}])
        spec = made["spec"]["template"]["spec"]
        spec["volumes"] = [{"name": "witness", "hostPath": {"path": str(self.folder), "type": "Directory"}}]
        spec["terminationGracePeriodSeconds"] = 1
        return made

    @staticmethod
    def command(mark, script):
        """`gate NAME` in the script waits until the test opens that gate."""
        return ["sh", "-c", f'echo started >> /witness/{mark}; gate() {{ while [ ! -e "/witness/gate-$1" ]; do sleep 0.1; done; }}; '
                + script]

    def starts(self, mark):
        path = self.folder / mark
        return len(path.read_text().splitlines()) if path.exists() else 0

    def open(self, gate):
        (self.folder / f"gate-{gate}").touch()


def ended(server, run, seconds=240):
    """The run's record, once it has ended; the server may be away for a while."""
    def final():
        try:
            status, record, _ = server.api("root").get(f"/api/v1/runs/{run}")
        except OSError:
            return None
        return record if status == 200 and record["state"] in FINAL else None
    return eventually(final, f"run {run} ends; its server's log: {server.process.log}", seconds, 0.2)


def log_of(server, run):
    whole = b""
    while True:
        status, part, _ = server.api("root").get(f"/api/v1/runs/{run}/log?offset={len(whole)}", seconds=120)
        assert status == 200, part
        if not part:
            return whole
        whole += part


def check(server, cluster, run, *, state, reason=None, exit_code=None, log=None, complete=True, starts=None):
    """The run ended truly, ran at most once, was on record before it was in the cluster, and
    its log has all that the API server had. starts=(witness, mark, how often it may have started)."""
    record = ended(server, run)
    shown = {k: record.get(k) for k in ("state", "resultReason", "exitCode", "message", "logComplete")}
    assert record["state"] == state, shown
    assert reason is None or record["resultReason"] == reason, shown
    assert record.get("exitCode") == exit_code, shown
    assert (record.get("exitCode") == 0) == (state == "succeeded"), shown
    assert record["logComplete"] == complete, shown
    archived = log_of(server, run)
    if log is not None:
        assert archived == log.encode(), f"{archived[-300:]!r} is not {log[-300:]!r}"
    ran_once(server, cluster, record, archived if complete else None)
    if starts:
        witness, mark, times = starts
        assert witness.starts(mark) in times, f"the command started {witness.starts(mark)} times"
    audited(server, cluster, record)
    return record


def ran_once(server, cluster, record, archived):
    label = f"oddjob.dev/run-id={record['id']}"
    namespace = record["namespace"]
    jobs = [j for j in cluster.get("jobs", "-l", label, namespace=namespace)["items"]]
    assert len(jobs) <= 1 and all(j["metadata"]["uid"] == record["jobUid"] for j in jobs), jobs
    pods = cluster.get("pods", "-l", label, namespace=namespace)["items"]
    assert len(pods) <= 1, [p["metadata"]["name"] for p in pods]
    for pod in pods if archived is not None else []:
        there = cluster.kubectl("-n", namespace, "logs", pod["metadata"]["name"])
        if there.code == 0:
            assert there.raw == archived, "what the API server has of the log is what the archive has"


def audited(server, cluster, record):
    status, verdict, _ = server.api("root").get("/api/v1/audit/verify")
    assert status == 200 and verdict["ok"], verdict
    status, story, _ = server.api("root").get(f"/api/v1/audit?run={record['id']}")
    events = story["items"]
    types = [e["type"] for e in events]
    for once in ("run.requested", "run.finished"):
        assert types.count(once) == 1, types
    for at_most_once in ("run.job_created", "run.started"):
        assert types.count(at_most_once) <= 1, types
    assert types[0] == "run.requested" and types[-1] == "run.finished", types
    if record.get("startedAt"):
        assert "run.starting" in types[:types.index("run.started")], types
    # Every Job that OddJob made here is of a run that was on record before.
    for job in cluster.get("jobs", "-l", "app.kubernetes.io/managed-by=oddjob", namespace=record["namespace"])["items"]:
        of = job["metadata"]["labels"]["oddjob.dev/run-id"]
        first = server.api("root").get(f"/api/v1/audit?run={of}")[1]["items"][0]
        assert first["type"] == "run.requested" and first["time"][:19] <= job["metadata"]["creationTimestamp"][:19], (first, job)
