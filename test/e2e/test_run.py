"""`oddjob run` as an engineer uses it: log, exit code, environment, detach, cancel."""

import hashlib
import json
import os
import signal
import subprocess
import time

import pytest

from harness import FINAL, eventually, workload


def run_id(done):
    return json.loads(done.out)["id"]


def test_prints_the_log_and_returns_the_exit_code(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--", "sh", "-c", "echo one; echo two >&2; exit 3")
    assert done.code == 3, done
    # Two pipes: no container runtime promises in which order it reads them.
    assert sorted(done.out.splitlines()) == ["one", "two"], done


def test_a_successful_command_exits_0(server):
    done = server.oddjob("ann", "run", "payments", "--", "true")
    assert (done.code, done.out) == (0, ""), done


def test_a_fast_pod_with_ten_thousand_lines_loses_none(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--", "seq", "1", "10000")
    assert done.code == 0, done.err
    assert done.out == "".join(f"{i}\n" for i in range(1, 10001))


def test_a_slow_pod_streams_as_it_goes_and_gives_all(server):
    child = server.popen("ann", "run", "deploy/payments", "--", "sh", "-c",
                         "for i in 1 2 3 4; do echo line $i; sleep 0.7; done; exit 7",
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    first = child.stdout.readline()
    assert first == b"line 1\n"
    assert child.poll() is None, "the first line arrives while the command still runs"
    rest = child.stdout.read()
    assert (rest, child.wait(30)) == (b"line 2\nline 3\nline 4\n", 7)


def test_binary_output_arrives_byte_for_byte(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--", "printf", r"a\000b\377\033[31mred\033[0m\n\302\n")
    assert done.raw == b"a\x00b\xff\x1b[31mred\x1b[0m\n\xc2\n", done


def test_a_line_without_newline_at_the_end_is_kept(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--", "printf", "no newline")
    assert done.raw == b"no newline"


def test_a_line_of_20_megabytes_passes_with_bounded_memory(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--", "sh", "-c",
                         "head -c 20000000 /dev/zero | tr '\\0' x", seconds=120)
    assert done.code == 0, done.err
    assert len(done.raw) == 20_000_000 and set(done.raw) == {ord("x")}
    with open(f"/proc/{server.process.child.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 400_000, f"peak {peak} kB"


def test_env_reaches_the_command_and_only_its_hash_reaches_the_records(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--env", "GREETING=s3cr3t-hello", "--", "sh", "-c",
                         "printf %s \"$GREETING\" | sha256sum")
    # The command does not print the value: its log is kept, and a short one is not changed by compression.
    assert (done.code, done.out[:64]) == (0, hashlib.sha256(b"s3cr3t-hello").hexdigest()), done
    for suffix in ("", "-wal"):
        path = f"{server.database}{suffix}"
        if os.path.exists(path):
            with open(path, "rb") as file:
                content = file.read()
            assert b"s3cr3t-hello" not in content, path
    assert "s3cr3t-hello" not in server.log()


def test_detach_returns_at_once_and_logs_reattaches(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--detach", "-o", "name", "--", "sh", "-c",
                         "echo start; sleep 1; echo end; exit 4")
    assert done.code == 0, done
    name = done.out.strip()
    logs = server.oddjob("ann", "logs", "-f", name.removeprefix("run/"))
    assert logs.out == "start\nend\n", logs
    assert logs.code == 0, logs
    shown = server.oddjob("ann", "show", name.removeprefix("run/"), "-o", "json")
    assert json.loads(shown.out)["exitCode"] == 4


def test_ls_show_and_the_job_carry_the_same_story(server, cluster):
    done = server.oddjob("ann", "run", "deploy/payments", "--reason", "ticket 42", "-o", "json", "--", "sh", "-c",
                         "exit 5")
    assert done.code == 5, done
    run = json.loads(done.out)
    assert run["state"] == "failed" and run["exitCode"] == 5 and run["reason"] == "ticket 42"
    listed = json.loads(server.oddjob("ann", "ls", "--mine", "-o", "json").out)["items"]
    assert run["id"] in [item["id"] for item in listed]
    job = cluster.get("job", run["jobName"])
    assert job["metadata"]["labels"]["oddjob.dev/run-id"] == run["id"]
    assert job["metadata"]["annotations"]["oddjob.dev/requester"] == "ann"
    assert job["spec"]["backoffLimit"] == 0 and job["spec"]["suspend"] is False


def test_the_table_of_runs_reads_as_kubectls_tables_do(server):
    table = server.oddjob("ann", "ls").out.splitlines()
    assert table[0].split()[:3] == ["ID", "WORKLOAD", "STATE"] or "STATE" in table[0], table[0]


def test_cancel_ends_a_running_command(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--detach", "-o", "json", "--", "sh", "-c",
                         "echo up; sleep 600")
    run = run_id(done)
    api = server.api("ann")
    eventually(lambda: api.get(f"/api/v1/runs/{run}")[1]["logBytes"] > 0, "the first line is archived")
    assert server.oddjob("ann", "cancel", run).code == 0
    final = eventually(lambda: (r := api.get(f"/api/v1/runs/{run}")[1])["state"] in FINAL and r, "the run ends")
    assert final["state"] == "cancelled" and final["cancelledBy"] == "ann"
    assert server.oddjob("ann", "logs", run).out == "up\n"


def test_a_timeout_is_told_apart_from_a_failure(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--timeout", "2s", "-o", "json", "--", "sh", "-c",
                         "echo go; sleep 600")
    run = json.loads(done.out)
    assert run["state"] == "timed_out", run
    assert done.code not in (0,), done


def test_interrupting_in_a_pipe_detaches_and_leaves_it_running(server):
    child = server.popen("ann", "run", "deploy/payments", "--", "sh", "-c", "echo up; sleep 2; echo down",
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"up\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130, err
    assert b"oddjob logs" in err, err
    newest = json.loads(server.oddjob("ann", "ls", "--mine", "-o", "json").out)["items"][0]
    api = server.api("ann")
    final = eventually(lambda: (r := api.get(f"/api/v1/runs/{newest['id']}")[1])["state"] in FINAL and r, "it ends")
    assert final["state"] == "succeeded"


def test_the_same_idempotency_key_is_one_run(server, cluster):
    key = f"key-{time.time_ns()}"
    ids = {run_id(server.oddjob("ann", "run", "deploy/payments", "--detach", "-o", "json", "--idempotency-key", key,
                                "--", "echo", "once")) for _ in range(3)}
    assert len(ids) == 1


def test_dry_run_shows_the_job_and_creates_nothing(server, cluster):
    before = len(cluster.get("jobs")["items"])
    done = server.oddjob("ann", "run", "deploy/payments", "--dry-run", "-o", "json", "--", "echo", "no")
    assert done.code == 0, done
    assert json.loads(done.out)["job"]["kind"] == "Job"
    assert len(cluster.get("jobs")["items"]) == before


@pytest.mark.parametrize("kind,ref", [("StatefulSet", "sts/db"), ("DaemonSet", "ds/agent")])
def test_other_workloads_run_by_the_same_path(server, cluster, kind, ref):
    name = ref.split("/")[1]
    made = workload(name, {"oddjob.dev/allowed-teams": "payments"}, kind=kind)
    if kind == "StatefulSet":
        made["spec"]["serviceName"] = name
    if kind == "DaemonSet":
        del made["spec"]["replicas"]
    cluster.apply(made)
    done = server.oddjob("ann", "run", ref, "--", "echo", name)
    assert (done.code, done.out) == (0, f"{name}\n"), done


def test_a_cron_job_runs_by_the_same_path(server, cluster):
    template = workload("nightly")["spec"]["template"]
    template["spec"]["restartPolicy"] = "Never"
    cluster.apply({"apiVersion": "batch/v1", "kind": "CronJob",
                   "metadata": {"name": "nightly", "annotations": {"oddjob.dev/allowed-users": "ann"}},
                   "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template}}}})
    done = server.oddjob("ann", "run", "cronjob/nightly", "--", "echo", "by hand")
    assert (done.code, done.out) == (0, "by hand\n"), done


def test_config_and_secrets_of_the_service_are_there(server, cluster):
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"COLOUR": "blue"}},
                  {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sec"}, "stringData": {"PASS": "pw"}},
                  workload("withconf", {"oddjob.dev/allowed-teams": "payments"}, envFrom=[
                      {"configMapRef": {"name": "conf"}}, {"secretRef": {"name": "sec"}}]))
    done = server.oddjob("ann", "run", "deploy/withconf", "--", "sh", "-c", "echo $COLOUR/$PASS")
    assert (done.code, done.out) == (0, "blue/pw\n"), done


def test_in_a_pipe_every_line_of_status_is_said_once(server):
    done = server.oddjob("ann", "run", "deploy/payments", "--", "sh", "-c", "exit 5")
    lines = done.err.splitlines()
    assert len(lines) == len(set(lines)), done.err
    ends = [line for line in lines if "failed" in line]
    assert len(ends) == 1 and "exit code 5" in ends[0], done.err
