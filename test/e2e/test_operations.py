"""docs/operations.md: backup while it runs, restore, and a database from the future."""

import contextlib
import pathlib
import re
import shutil
import sqlite3

from harness import FINAL, ROOT, eventually, run

PAGE = (ROOT / "docs" / "operations.md").read_text()


def command(start):
    """The command of the page that begins so."""
    (found,) = re.findall(rf"(?m)^\s*\$ ({re.escape(start)}.*)$", PAGE)
    return found


def shell(line, folder):
    done = run(["bash", "-c", f"cd '{folder}' && {line}"], seconds=60)
    assert done.code == 0, f"$ {line}\n{done}"
    return done.out


def test_a_backup_made_while_it_runs_is_restored(own_server, cluster, tmp_path):
    own_server.start()
    before = own_server.oddjob("ann", "run", "deploy/payments", "--", "echo", "before")
    assert (before.code, before.out) == (0, "before\n"), before
    under_way = own_server.popen("ann", "run", "deploy/payments", "--", "sh", "-c", "echo begun; sleep 20; echo done; exit 3")
    eventually(lambda: any(r["state"] == "running" for r in own_server.api().get("/api/v1/runs")[1]["items"]), "it runs", 60)

    shell(command("sqlite3 oddjob.db"), own_server.folder)
    assert shell(command("sqlite3 backup.db"), own_server.folder) == "", "no run is on its way to its Job"
    after = own_server.oddjob("ann", "run", "deploy/payments", "--", "echo", "after the backup")
    assert after.code == 0, after
    own_server.process.kill()
    under_way.kill()
    under_way.wait()

    database = pathlib.Path(own_server.database)
    shutil.move(own_server.folder / "backup.db", database)
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    own_server.start()
    ended = eventually(lambda: [r for r in own_server.api().get("/api/v1/runs")[1]["items"] if r["state"] == "failed"],
                       "the run that was under way ends with its result", 90)
    assert ended[0]["exitCode"] == 3, ended
    assert own_server.oddjob("ann", "logs", ended[0]["id"]).out == "begun\ndone\n"
    runs = own_server.api().get("/api/v1/runs")[1]["items"]
    assert [r["command"][-1] for r in runs if r["state"] == "succeeded"] == ["before"], runs
    assert own_server.oddjob("root", "audit", "verify").code == 0


def test_a_backup_from_before_a_runs_job_does_not_run_it_again(own_server, cluster):
    own_server.start()
    done = own_server.oddjob("ann", "run", "deploy/payments", "--", "echo", "once")
    assert (done.code, done.out) == (0, "once\n"), done
    ended = own_server.api().get("/api/v1/runs")[1]["items"][0]
    own_server.stop()
    # What a backup holds that was made between the record of a run and that of its Job.
    with contextlib.closing(sqlite3.connect(own_server.database)) as db, db:
        db.execute("update runs set active = 1, state = 'starting', document = json_remove(json_set(document, "
                   "'$.jobUid', '', '$.released', json('false'), '$.resultReason', '', '$.message', ''), '$.exitCode', '$.finishedUs')")
    shell(command("sqlite3 oddjob.db"), own_server.folder)
    assert ended["id"] in shell(command("sqlite3 backup.db"), own_server.folder), "the page's question finds it"
    assert cluster.kubectl("-n", "default", "delete", "jobs", "-l", f"oddjob.dev/run-id={ended['id']}").code == 0
    own_server.start()
    final = eventually(lambda: (r := own_server.api().get(f"/api/v1/runs/{ended['id']}")[1])["state"] in FINAL and r, "it ends", 60)
    assert (final["state"], final["resultReason"]) == ("lost", "ResultUnknown"), final
    assert "backup" in final["message"], final


def test_an_export_is_verified_by_itself(server, tmp_path):
    assert server.oddjob("ann", "run", "deploy/payments", "--", "true").code == 0
    file = str(tmp_path / "audit.jsonl")
    assert command("oddjob audit export").split()[:3] == ["oddjob", "audit", "export"]
    assert server.oddjob("root", "audit", "export", file).code == 0
    assert server.oddjob("nobody", "audit", "verify", file).code == 0


def test_an_older_server_leaves_a_newer_database_alone(own_server):
    own_server.start()
    own_server.process.stop()
    shell("sqlite3 oddjob.db 'update schema_version set version = 1000'", own_server.folder)
    own_server.start(wait=False)
    eventually(lambda: not own_server.process.alive(), "it ends by itself", 60)
    assert own_server.process.child.returncode == 1
    assert "store.schema_newer" in own_server.log() and "1000" in own_server.log(), own_server.log()
    assert shell("sqlite3 oddjob.db 'select version from schema_version'", own_server.folder) == "1000\n"


def test_every_code_and_reason_of_the_troubleshooting_page_is_in_the_source():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    source = "\n".join(p.read_text() for p in (ROOT / "src").rglob("*.[ch]pp"))
    codes = set(re.findall(r"`((?:[a-z]+)\.[a-z_]+)`", page)) - {"tls.crt", "tls.key"}
    assert len(codes) > 40
    for code in sorted(codes):
        assert f'"{code}"' in source, f"{code} is no code of the source"
    ended = page.split("## A run ended")[1]
    theirs = {"OOMKilled", "DeadlineExceeded", "Evicted", "PreemptionByScheduler", "StartError"}
    reasons = {word for row in ended.splitlines() if row.startswith("| `")
               for word in re.findall(r"`([A-Z][A-Za-z]+)`", row.split(" | ")[0])}
    assert "CreateRefused" in reasons
    for reason in sorted(reasons - theirs):
        assert f'"{reason}"' in source, f"{reason} is no reason of the source"
