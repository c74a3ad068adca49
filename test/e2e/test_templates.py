"""Saved runs: a template in the cluster, filled in by whoever runs it, and all that keeps it honest."""

import json
import pathlib
import subprocess

import pytest
import yaml

import harness
from harness import eventually, template, workload

SINCE = {"name": "since", "type": "date", "min": "2020-01-01", "description": "The first day"}
NOTE = {"name": "note", "type": "string", "default": ""}
REGION = {"name": "region", "type": "enum", "values": ["eu", "us"], "default": "eu"}
# Values that a shell, a template language or a kubelet would read.
HOSTILE = ["two words", "'", '"', "\\", "$(id)", "`id`", "; rm -rf /", "a\nb", "${note}", "$${note}", "$HOME", "*", "| cat",
           "&& id", "$(SECRET)", "$$", "é…", "> /tmp/x", "--", ""]


@pytest.fixture(scope="module")
def templated(cluster, tmp_path_factory):
    """A server of a cluster that has JobTemplates, and some of them."""
    harness.install_templates(cluster)
    cluster.apply(
        workload("only-templates", dict(harness.OPEN, **{"oddjob.dev/templates-only": "true"}), replicas=0),
        workload("guarded", dict(harness.OPEN, **{"oddjob.dev/approval": "2", "oddjob.dev/templates": "pre-approved"}),
                 replicas=0),
        workload("strict", dict(harness.OPEN, **{"oddjob.dev/allowed-commands": '[["echo","*"]]'}), replicas=0))
    cluster.apply(
        template("hello", "payments", ["printf", "[%s]"], [SINCE, NOTE, REGION], args=["${since}", "${note}", "in ${region}"],
                 description="Says which day it was."),
        template("argv", "payments", ["sh", "-c", 'printf "%s\\n" $#; printf "%s\\0" "$@"', "argv"], [NOTE],
                 args=["--note=${note}", "fixed", "--", "${note}"], env=[{"name": "NOTE", "value": "${note}"}]),
        template("env", "payments", ["sh", "-c", 'printf %s "$NOTE"'], [NOTE], env=[{"name": "NOTE", "value": "${note}"}]),
        template("only", "only-templates", ["echo", "yes"]),
        template("ready", "guarded", ["echo", "approved by review"]),
        template("bobs", "payments", ["echo", "for bob"], allowedUsers=["bob"]),
        template("echoing", "strict", ["echo", "${note}"], [NOTE]),
        template("not-echoing", "strict", ["printf", "x"]))
    server = harness.Server(tmp_path_factory.mktemp("templates"), cluster.kubeconfig).start()
    eventually(lambda: server.api().get("/api/v1/templates")[0] == 200, "the templates are in view", 90)
    yield server
    server.stop()


def test_a_template_is_run_with_its_parameters(templated):
    done = templated.oddjob("ann", "run", "template/hello", "--param", "since=2026-01-31")
    assert (done.code, done.out) == (0, "[2026-01-31][][in eu]"), done
    done = templated.oddjob("ann", "run", "template/hello", "-p", "since=2026-01-31", "-p", "region=us", "-p", "note=a b")
    assert (done.code, done.out) == (0, "[2026-01-31][a b][in us]"), done


def test_the_audit_says_which_template_in_which_state_with_which_values(templated, cluster):
    done = templated.oddjob("ann", "run", "template/hello", "-p", "since=2026-02-01", "--detach", "--reason", "ticket 7")
    run = done.out.strip()
    listed = templated.oddjob("ann", "audit", "list", "--run", run, "-o", "json")
    detail = next(e for e in json.loads(listed.out)["items"] if e["type"] == "run.requested")["detail"]
    object = cluster.get("jobtemplate", "hello")
    assert detail["template"]["name"] == "hello"
    assert detail["template"]["uid"] == object["metadata"]["uid"]
    assert detail["template"]["generation"] == object["metadata"]["generation"]
    assert detail["params"] == {"since": "2026-02-01", "note": "", "region": "eu"}
    # An auditor finds the same digest in git.
    assert detail["template"]["digest"] == object["status"]["digest"]
    shown = json.loads(templated.oddjob("ann", "show", run, "-o", "json").out)
    assert shown["template"] == detail["template"] and shown["params"] == detail["params"]
    assert shown["job"]["metadata"]["annotations"]["oddjob.dev/template"].startswith("hello@sha256:")


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_value_stays_one_argument_and_reaches_no_shell(templated, value):
    done = templated.oddjob("ann", "run", "template/argv", "--param", f"note={value}")
    assert done.code == 0, done
    count, _, rest = done.raw.partition(b"\n")
    words = [f"--note={value}", "fixed", "--", value]
    assert count == b"4", done
    assert rest == b"".join(w.encode() + b"\0" for w in words), done


def test_a_value_stays_itself_in_a_variable(templated):
    value = "$(SECRET) $$ ${note} '\" \\ `id`"
    done = templated.oddjob("ann", "run", "template/env", "--param", f"note={value}")
    assert (done.code, done.out) == (0, value), done


@pytest.mark.parametrize("args,words", [
    ([], ["params.since", "required", "2026-01-31"]),
    (["-p", "since=yesterday"], ["params.since", "yesterday"]),
    (["-p", "since=2019-12-31"], ["params.since", "at least 2020-01-01"]),
    (["-p", "since=2026-02-30"], ["params.since", "a day"]),
    (["-p", "since=2026-01-01", "-p", "region=asia"], ["params.region", "eu, us"]),
    (["-p", "since=2026-01-01", "-p", "sinc=x"], ["params.sinc", "did you mean 'since'"]),
    (["-p", "since=2026-01-01", "-p", "note=--output"], ["params.note", "option"]),
    (["-p", "since"], ["--param", "NAME=VALUE"]),
    (["-p", "since=2026-01-01", "-p", "since=2026-01-02"], ["since", "twice"]),
    (["-p", "since=2026-01-01", "--timeout", "5m"], ["timeout", "template"]),
    (["-p", "since=2026-01-01", "--env", "A=b"], ["env", "template"]),
    (["-p", "since=2026-01-01", "--", "true"], ["template/hello", "command of its own"]),
])
def test_what_cannot_be_given_is_refused_with_the_reason(templated, args, words):
    done = templated.oddjob("ann", "run", "template/hello", *args)
    assert done.code == 125 and done.out == "", done
    for word in words:
        assert word in done.err, f"{word!r} is not in: {done.err}"
    assert len(done.err.splitlines()) <= 3, done.err


def test_a_refusal_is_in_the_audit_with_the_values(templated):
    templated.oddjob("bob", "run", "template/hello", "-p", "since=1999-01-01")
    events = json.loads(templated.oddjob("root", "audit", "list", "--type", "run.refused", "-o", "json").out)["items"]
    last = next(e for e in reversed(events) if e["actor"] == "bob" and "template" in e["detail"])
    assert last["detail"]["template"] == "hello" and last["detail"]["params"] == {"since": "1999-01-01"}
    assert last["detail"]["code"] == "policy.not_allowed"


def test_who_may_run_it_is_narrowed_and_never_widened(templated):
    done = templated.oddjob("ann", "run", "template/bobs")
    assert done.code == 125 and "may not run the template bobs" in done.err, done
    done = templated.oddjob("bob", "run", "template/bobs")
    assert done.code == 125 and "deploy/payments" in done.err, done


def test_a_workload_that_allows_templates_only(templated):
    done = templated.oddjob("ann", "run", "deploy/only-templates", "--", "echo", "yes")
    assert done.code == 125 and "saved templates only" in done.err, done
    done = templated.oddjob("ann", "run", "template/only")
    assert (done.code, done.out) == (0, "yes\n"), done


def test_a_template_of_a_workload_that_trusts_the_review_needs_no_approval(templated):
    done = templated.oddjob("ann", "run", "template/ready")
    assert (done.code, done.out) == (0, "approved by review\n"), done


def test_allowed_commands_hold_for_templates(templated):
    done = templated.oddjob("ann", "run", "template/echoing", "-p", "note=x")
    assert (done.code, done.out) == (0, "x\n"), done
    done = templated.oddjob("ann", "run", "template/not-echoing")
    assert done.code == 125 and "not one that deploy/strict allows" in done.err, done


def condition(cluster, name):
    object = cluster.get("jobtemplate", name)
    conditions = object.get("status", {}).get("conditions", [])
    current = [c for c in conditions if c["observedGeneration"] == object["metadata"]["generation"]]
    return next((c for c in current if c["type"] == "Ready"), {})


def reason(cluster, name, wanted):
    return eventually(lambda: (c := condition(cluster, name)).get("reason") == wanted and c,
                      f"template {name} is {wanted}", 60)


def test_the_condition_follows_template_and_workload(templated, cluster):
    assert reason(cluster, "hello", "Resolved")["status"] == "True"
    assert reason(cluster, "not-echoing", "CommandNotAllowed")["status"] == "False"
    assert "allowed-commands" in reason(cluster, "not-echoing", "CommandNotAllowed")["message"]
    cluster.apply(workload("moving", harness.OPEN, replicas=0), template("moving", "moving", ["true"]))
    since = reason(cluster, "moving", "Resolved")["lastTransitionTime"]
    cluster.kubectl("annotate", "deploy/moving", "oddjob.dev/max-timeout=soon")
    assert "max-timeout" in reason(cluster, "moving", "PolicyRefuses")["message"]
    cluster.kubectl("annotate", "deploy/moving", "oddjob.dev/max-timeout-")
    assert reason(cluster, "moving", "Resolved")["lastTransitionTime"] >= since
    cluster.apply(template("moving", "moving", ["sh", "-c", "echo ${note}"], [NOTE]))
    assert "spec.command[2]" in reason(cluster, "moving", "Invalid")["message"]
    done = templated.oddjob("ann", "run", "template/moving")
    assert done.code == 125 and "spec.command[2]" in done.err, done
    cluster.apply(template("moving", "moving", ["true"], container="other"))
    reason(cluster, "moving", "ContainerNotFound")
    cluster.kubectl("delete", "deploy", "moving")
    cluster.apply(template("moving", "moving", ["true"]))
    reason(cluster, "moving", "WorkloadNotFound")
    table = cluster.kubectl("get", "jt").out
    assert "WORKLOAD" in table and "REASON" in table and "WorkloadNotFound" in table, table
    cluster.kubectl("delete", "jt", "moving")


def test_templates_are_listed_and_shown(templated, cluster):
    reason(cluster, "hello", "Resolved")
    table = eventually(lambda: "Says which day it was." in (out := templated.oddjob("ann", "templates").out) and out, "listed")
    line = next(row for row in table.splitlines() if " hello " in row)
    assert "deploy/payments" in line and line.count("yes") == 2, line
    shown = templated.oddjob("ann", "template", "show", "hello").out
    for word in ("since", "date", "<required>", "at least 2020-01-01", "The first day", "one of eu, us", "printf"):
        assert word in shown, shown
    mine = json.loads(templated.oddjob("bob", "template", "show", "template/hello", "-o", "json").out)
    assert not mine["mayRun"] and "bob" in mine["problem"], mine
    assert templated.oddjob("ann", "templates", "-o", "name").out.splitlines().count("template/hello") == 1
    done = templated.oddjob("ann", "template", "show", "nothing")
    assert done.code == 125 and "no template nothing" in done.err, done


def test_completion_knows_templates_parameters_and_values(templated):
    def complete(*words):
        return templated.oddjob("ann", "__complete", "--", *words).out.split()
    assert "template/hello" in eventually(lambda: complete("run", "template/h"), "templates", 30)
    assert "template/bobs" not in complete("run", "template/")
    assert complete("run", "template/hello", "--param", "s") == ["since="]
    assert complete("run", "template/hello", "--param", "region=") == ["region=eu", "region=us"]
    assert "hello" in complete("template", "show", "")
    assert {"show", "lint", "render"} <= set(complete("template", ""))


def test_a_dry_run_shows_the_job(templated):
    done = templated.oddjob("ann", "run", "template/hello", "-p", "since=2026-01-31", "--dry-run")
    job = yaml.safe_load(done.out)
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["printf", "[%s]", "2026-01-31", "", "in eu"]


def test_the_schema_refuses_at_apply(templated, cluster):
    bad = template("bad", "payments", ["echo"], [{"name": "x", "type": "secret"}])
    done = cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(bad))
    assert done.code != 0 and "spec.parameters[0].type" in done.err, done


def test_without_the_custom_resource_all_else_works_and_it_is_found_when_it_comes(tmp_path):
    cluster = harness.DevCluster(tmp_path)
    server = harness.Server(tmp_path, cluster.kubeconfig)
    try:
        cluster.apply(workload("payments", harness.OPEN, replicas=0))
        server.start()
        done = server.oddjob("ann", "run", "deploy/payments", "--", "echo", "fine")
        assert (done.code, done.out) == (0, "fine\n"), done
        for args in (["templates"], ["run", "template/x"], ["template", "show", "x"]):
            done = server.oddjob("ann", *args)
            assert done.code == 125 and "is not installed" in done.err and "deploy/crds" in done.err, done
        harness.install_templates(cluster)
        cluster.apply(template("late", "payments", ["echo", "late"]))
        done = server.oddjob("ann", "run", "template/late")  # needs no list
        assert (done.code, done.out) == (0, "late\n"), done
        reason(cluster, "late", "Resolved")
        assert "late" in server.oddjob("ann", "templates").out
    finally:
        if server.process and server.process.alive():
            server.stop()
        cluster.stop()


# ---- offline -------------------------------------------------------------------------------------------

def oddjob(*args, stdin=b""):
    return harness.run([harness.ODDJOB, *map(str, args)], stdin=stdin)


EXAMPLES = harness.ROOT / "examples" / "templates"


def test_the_examples_are_good():
    done = oddjob("template", "lint", EXAMPLES)
    assert done.code == 0 and done.out == "" and "3 templates, 0 errors" in done.err, done
    done = oddjob("template", "lint", harness.ROOT / "examples", "-o", "json")
    said = json.loads(done.out)
    assert [t["name"] for t in said["templates"]] == ["backfill", "cleanup", "reindex"] and said["problems"] == []


def test_lint_names_file_line_and_field(tmp_path):
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "deployment.yaml").write_text("{{ if .Values.x }}\nkind: Deployment\n{{ end }}\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("kind: JobTemplate\n")
    bad = tmp_path / "bad.yaml"
    bad.write_text("""apiVersion: v1
kind: ConfigMap
metadata: {name: between}
---
apiVersion: oddjob.dev/v1alpha1
kind: JobTemplate
metadata: {name: bad}
spec:
  workloadRef: {name: payments}
  comand: [x]
  command: [sh, -c,
            'echo ${since}']
  parameters:
    - name: since
      type: dates
""")
    done = oddjob("template", "lint", tmp_path)
    assert done.code == 1, done
    lines = done.out.splitlines()
    assert f"{bad}:10: error: spec.comand: there is no such field; did you mean 'command'?" in lines, done
    assert any(line.startswith(f"{bad}:12: error: spec.command[2]: 'sh' reads this as a script") for line in lines), done
    assert any(line.startswith(f"{bad}:15: error: spec.parameters[0].type: must be one of") for line in lines), done
    said = json.loads(oddjob("template", "lint", bad, "-o", "json").out)
    assert {p["line"] for p in said["problems"]} == {10, 12, 15}
    assert not said["templates"][0]["valid"]
    done = oddjob("template", "lint", "-", stdin=b"kind: ConfigMap\n")
    assert done.code == 125 and "no JobTemplate" in done.err, done
    broken = tmp_path / "broken.yaml"
    broken.write_text("kind: JobTemplate\n  x: [\n")
    done = oddjob("template", "lint", broken)
    assert done.code == 1 and str(broken) in done.out and "line 2" in done.out, done


def test_lint_checks_the_workload_that_stands_beside_it(tmp_path):
    both = tmp_path / "both.yaml"
    both.write_text(yaml.safe_dump_all([
        workload("payments", dict(harness.OPEN, **{"oddjob.dev/allowed-commands": '[["rake"]]'})),
        template("hello", "payments", ["echo"]), template("unknown", "elsewhere", ["echo"])]))
    done = oddjob("template", "lint", both)
    assert done.code == 1 and done.out.count("\n") == 1 and "CommandNotAllowed" in done.out, done
    assert "spec.workloadRef" in done.out


def test_a_list_has_items_with_lines_too(tmp_path):
    items = tmp_path / "list.json"
    items.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        template("a", "payments", ["echo"]), template("b", "payments", ["${x}"])]}, indent=1))
    done = oddjob("template", "lint", items)
    number = next(i for i, line in enumerate(items.read_text().splitlines(), 1) if "${x}" in line)
    assert done.code == 1 and f"{items}:{number}: error: spec.command[0]" in done.out, done


def test_render_prints_the_job_offline():
    files = ["-f", EXAMPLES / "backfill.yaml", "-f", EXAMPLES / "workloads.yaml"]
    done = oddjob("template", "render", *files, "--param", "since=2026-01-01")
    job = yaml.safe_load(done.out)
    assert job["kind"] == "Job" and job["spec"]["activeDeadlineSeconds"] == 7200
    assert job["spec"]["template"]["spec"]["containers"][0]["command"][2:] == [
        "--since=2026-01-01", "--region=eu", "--batch-size=500", "--dry-run=true"]
    assert "activeDeadlineSeconds" not in oddjob("template", "render", *files, "-p", "since=2026-01-01", "--diff").err
    done = oddjob("template", "render", *files)
    assert done.code == 125 and "params.since" in done.err, done
    done = oddjob("template", "render", *files, "-p", "since=2026-01-01", "nothing")
    assert done.code == 125 and "there are: backfill" in done.err, done


HEALTH = harness.ROOT / "deploy" / "argocd"


def test_argo_cd_has_the_script_of_the_file():
    customized = yaml.safe_load((HEALTH / "argocd-cm.yaml").read_text())["data"]
    assert customized["resource.customizations.health.oddjob.dev_JobTemplate"].strip() == (HEALTH / "health.lua").read_text().strip()


@pytest.mark.parametrize("status,health", [
    ("nil", "Progressing"),
    ("{}", "Progressing"),
    ("{conditions={{type='Ready',status='True',reason='Resolved',message='m',observedGeneration=2}}}", "Healthy"),
    ("{conditions={{type='Ready',status='False',reason='Invalid',message='m',observedGeneration=2}}}", "Degraded"),
    ("{conditions={{type='Ready',status='True',reason='Resolved',message='m',observedGeneration=1}}}", "Progressing"),
    ("{conditions={{type='Other',status='True',reason='x',message='m',observedGeneration=2}}}", "Progressing"),
])
def test_argo_cd_shows_the_condition(tmp_path, status, health):
    program = pathlib.Path(tmp_path, "check.lua")
    program.write_text(f"obj = {{metadata={{generation=2}}, status={status}}}\n"
                       f"local hs = assert(loadfile('{HEALTH / 'health.lua'}'))()\nio.write(hs.status)\n")
    done = subprocess.run(["lua5.1", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == health, done
