"""The custom resource on a real API server: each rule of its schema and each CEL rule refuses a bad template
with a message that helps, and `oddjob template lint` refuses the same one without any server."""

import copy

import pytest
import yaml

import harness
from harness import template

PARAMETERS = [
    {"name": "since", "type": "date", "min": "2020-01-01", "max": "2030-12-31", "default": "2026-01-01"},
    {"name": "batch", "type": "integer", "min": 1, "max": "1000", "default": 100},
    {"name": "region", "type": "enum", "values": ["eu", "us"], "default": "eu"},
    {"name": "note", "type": "string", "pattern": "[a-z ]*", "minLength": 0, "maxLength": 20, "default": "a note"},
    {"name": "dry-run", "type": "boolean", "default": "true"},
    {"name": "wait", "type": "duration", "min": "1s", "max": "1h", "default": "5m"},
    {"name": "free", "type": "string", "required": True},
]
GOOD = template("good", "payments", ["node", "scripts/backfill.js", "$${HOME}"], PARAMETERS,
                args=["--since=${since}", "${batch}", "${region}${note}", "--dry-run=${dry-run}", "${wait}", "--", "${free}"],
                env=[{"name": "REGION", "value": "${region}"}], timeout="1h30m", retries=2, container="app",
                resources={"cpu": "500m", "memory": "1Gi"}, serviceAccountName="batch", sidecars="native",
                initContainers="skip", allowedTeams=["payments"], allowedUsers=["ann"], approvals=1,
                description="All there is.")


def param(number, **fields):
    """A change of one parameter; None takes a field away."""
    def change(spec):
        for key, value in fields.items():
            if value is None:
                spec["parameters"][number].pop(key, None)
            else:
                spec["parameters"][number][key] = value
    return change


def spec(**fields):
    def change(of):
        for key, value in fields.items():
            if value is None:
                of.pop(key, None)
            else:
                of[key] = value
    return change


SECRET = "none may be a secret"
SHELL = 'use "$1" there'
UNKNOWN = "that is no parameter"

BAD = {
    # the schema
    "no workload": (spec(workloadRef=None), "spec.workloadRef"),
    "no name of a workload": (spec(workloadRef={}), "spec.workloadRef.name"),
    "an impossible workload": (spec(workloadRef={"name": "A b"}), "spec.workloadRef.name"),
    "another kind of workload": (spec(workloadRef={"kind": "Job", "name": "x"}), "spec.workloadRef.kind"),
    "an unknown field": (spec(commands=["x"]), 'unknown field "spec.commands"'),
    "a workload elsewhere": (spec(workloadRef={"name": "x", "namespace": "y"}), 'unknown field "spec.workloadRef.namespace"'),
    "no command": (spec(command=None), "spec.command"),
    "an empty command": (spec(command=[]), "spec.command"),
    "a command that is text": (spec(command="rake db"), "spec.command"),
    "a word that is a number": (spec(args=[5]), "spec.args[0]"),
    "too many words": (spec(args=["x"] * 65), "spec.args"),
    "a word that is too long": (spec(args=["x" * 2049]), "spec.args[0]"),
    "a timeout without unit": (spec(timeout="30"), "spec.timeout"),
    "too many retries": (spec(retries=11), "spec.retries"),
    "an impossible container": (spec(container="A b"), "spec.container"),
    "an impossible account": (spec(serviceAccountName="A b"), "spec.serviceAccountName"),
    "an amount that is none": (spec(resources={"cpu": "lots"}), "spec.resources.cpu"),
    "limits as in a pod": (spec(resources={"limits": {"cpu": 1}}), 'unknown field "spec.resources.limits"'),
    "a mode of sidecars": (spec(sidecars="stop"), "spec.sidecars"),
    "a mode of init containers": (spec(initContainers="no"), "spec.initContainers"),
    "negative approvals": (spec(approvals=-1), "spec.approvals"),
    "approvals in words": (spec(approvals="required"), "spec.approvals"),
    "nobody allowed": (spec(allowedTeams=[]), "spec.allowedTeams"),
    "an impossible variable": (spec(env=[{"name": "A B", "value": ""}]), "spec.env[0].name"),
    "a variable from elsewhere": (spec(env=[{"name": "A", "valueFrom": {}}]), "spec.env[0].value"),
    "a variable twice": (spec(env=[{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]), "spec.env[1]"),
    "a parameter without type": (param(0, type=None), "spec.parameters[0].type"),
    "a parameter that is secret": (param(0, type="secret"), "spec.parameters[0].type"),
    "an impossible parameter": (param(0, name="Since"), "spec.parameters[0].name"),
    "a parameter twice": (param(1, name="since"), "spec.parameters[1]"),
    "an unknown field of a parameter": (param(0, secret=True), 'unknown field "spec.parameters[0].secret"'),
    "a default that is a flag": (param(4, default=True), "spec.parameters[4].default"),
    "a default that is a fraction": (param(1, default=1.5), "spec.parameters[1].default"),
    "a value twice": (param(2, values=["eu", "eu"]), "spec.parameters[2].values"),
    "a pattern that is too long": (param(3, pattern="x" * 257), "spec.parameters[3].pattern"),
    # CEL, of one parameter
    "a password": (param(6, name="db-password"), SECRET),
    "an API key": (param(6, name="stripe_api_key"), SECRET),
    "a token": (param(6, name="token"), SECRET),
    "an enum without values": (param(2, values=None, default=None), "an enum needs values"),
    "values of a string": (param(6, values=["a"]), "type enum only"),
    "a pattern of a number": (param(1, pattern="x"), "type string only"),
    "a length of a day": (param(0, maxLength=5), "type string only"),
    "bounds of a string": (param(3, min=1), "type integer, duration and date only"),
    "lengths in the wrong order": (param(3, minLength=21), "minLength is more than maxLength"),
    "required with a default": (param(0, required=True), "either is required or has a default"),
    "optional without one": (param(6, required=False), "either is required or has a default"),
    "no regular expression": (param(6, pattern="("), "error parsing regexp"),
    "a regular expression of another kind": (param(6, pattern="(?=a)"), "error parsing regexp"),
    "a bound that is no number": (param(1, min="many"), "are whole numbers"),
    "a default that is no number": (param(1, default="many"), "is a whole number"),
    "a number with a leading zero": (param(1, default="007"), "is a whole number"),
    "a number out of bounds": (param(1, default=1001), "are in that order"),
    "bounds in the wrong order": (param(1, min=5, max=2, default=None), "are in that order"),
    "a flag that is none": (param(4, default="yes"), '"true" or "false"'),
    "no value of the enum": (param(2, default="asia"), "one of its values"),
    "a day that is none": (param(0, default="soon"), "days such as"),
    "a bound that is no day": (param(0, min="January"), "days such as"),
    "a duration that is none": (param(5, default="5"), "such as 90s"),
    "a bound that is no duration": (param(5, max="long"), "such as 90s"),
    "a default that is too long": (param(3, default="x" * 21), "longer than maxLength"),
    "a default that the pattern refuses": (param(3, default="A1"), "does not match the whole default"),
    "a default that it matches in part": (param(3, default="ok!"), "does not match the whole default"),
    # CEL, of all
    "a program that is a parameter": (spec(command=["${free}"]), "the program itself"),
    "no program": (spec(command=[""]), "the program itself"),
    "a parameter in a script": (spec(command=["sh", "-c", "echo ${free}"]), SHELL),
    "a script that is one": (spec(command=["/bin/bash", "${free}"]), SHELL),
    "a script in args": (spec(command=["bash", "-lc"], args=["echo ${free}"]), SHELL),
    "a parameter that is not there": (spec(args=["${nothing}"]), UNKNOWN),
    "one that is not closed": (spec(args=["${free"]), UNKNOWN),
    "an expression": (spec(args=["${free:-x}"]), UNKNOWN),
    "none at all": (spec(parameters=None, args=["${x}"], env=None), UNKNOWN),
    "a parameter in env that is not there": (spec(env=[{"name": "A", "value": "${nothing}"}]), UNKNOWN),
    "a parameter in command that is not there": (spec(command=["echo", "${nothing}"]), UNKNOWN),
    "a variable that loads code": (spec(env=[{"name": "LD_PRELOAD", "value": "${free}"}]), "load or run something"),
}

FINE = {
    "all there is": spec(),
    "the least": lambda s: [s.pop(k) for k in list(s) if k not in ("workloadRef", "command")],
    "a script with arguments": spec(command=["sh", "-c", 'echo "$1"', "sh"], args=["${free}"], parameters=[PARAMETERS[6]], env=None),
    "a literal dollar": spec(args=["$${nothing}", "$HOME", "$(X)", "$", "$$", "${free}"]),
    "numbers as numbers": spec(resources={"cpu": 2, "memory": "512Mi"}),
    "negative numbers": param(1, min=-5, default="-3"),
    "a name that only holds the word": param(6, name="token-count", required=None),
    "a CronJob": spec(workloadRef={"kind": "CronJob", "name": "nightly.export"}),
}


def changed(change):
    made = copy.deepcopy(GOOD)
    change(made["spec"])
    # Where a parameter was renamed, so was its use.
    if made["spec"].get("parameters") and "args" in made["spec"]:
        for before, now in zip(PARAMETERS, made["spec"]["parameters"]):
            if before["name"] != now.get("name") and not str(now.get("name")).isupper():
                made["spec"]["args"] = [a.replace("${%s}" % before["name"], "${%s}" % now.get("name")) for a in made["spec"]["args"]]
    return made


@pytest.fixture(scope="module")
def defined(real_cluster):
    harness.install_templates(real_cluster)
    return real_cluster


def apply(cluster, made):
    return cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(made))


def lint(tmp_path, made):
    file = tmp_path / "template.yaml"
    file.write_text(yaml.safe_dump(made))
    return harness.run([harness.ODDJOB, "template", "lint", str(file)])


@pytest.mark.parametrize("what", BAD)
def test_a_bad_template_is_refused_at_apply_and_by_lint(defined, tmp_path, what):
    change, words = BAD[what]
    made = changed(change)
    done = apply(defined, made)
    assert done.code != 0 and words in done.err, done
    done = lint(tmp_path, made)
    assert done.code == 1 and "error: spec." in done.out, done


@pytest.mark.parametrize("what", FINE)
def test_a_good_template_is_taken_by_both(defined, tmp_path, what):
    made = changed(FINE[what])
    done = apply(defined, made)
    assert done.code == 0, done
    done = lint(tmp_path, made)
    assert done.code == 0 and "error" not in done.out, done


@pytest.mark.parametrize("name", sorted(p.name for p in (harness.ROOT / "examples" / "templates").glob("*.yaml")
                                        if p.name != "workloads.yaml"))
def test_the_examples_are_taken(defined, name):
    made = yaml.safe_load((harness.ROOT / "examples" / "templates" / name).read_text())
    made["metadata"]["namespace"] = "default"
    done = apply(defined, made)
    assert done.code == 0, done


def test_the_status_is_not_the_authors_to_write(defined):
    made = dict(copy.deepcopy(GOOD), metadata={"name": "status"}, status={"observedGeneration": 7})
    try:
        done = defined.kubectl("create", "-f", "-", stdin=yaml.safe_dump(made))
        assert done.code == 0, done
        read = yaml.safe_load(defined.kubectl("get", "jt", "status", "-o", "yaml").out)
        assert "status" not in read, read
        assert read["spec"]["workloadRef"]["kind"] == "Deployment"
        # What the server patches is taken by the schema.
        patch = {"status": {"observedGeneration": 1, "digest": "sha256:x", "conditions": [
            {"type": "Ready", "status": "True", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
             "reason": "Resolved", "message": ""}]}}
        done = defined.kubectl("patch", "jt", "status", "--subresource=status", "--type=merge", "-p", yaml.safe_dump(patch))
        assert done.code == 0, done
        columns = defined.kubectl("get", "jobtemplates").out.splitlines()
        assert columns[0].split() == ["NAME", "WORKLOAD", "READY", "REASON", "AGE"], columns
        assert columns[1].split()[:4] == ["status", "payments", "True", "Resolved"], columns
        assert "Deployment" in defined.kubectl("explain", "jobtemplate.spec.workloadRef.kind").out
    finally:
        defined.kubectl("delete", "jt", "status", "--ignore-not-found")
