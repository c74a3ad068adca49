"""What `oddjob` says of itself, and of words that it does not know. It sets up the command that is asked for alone:
what it says must be the same as if all were there."""

import re

import pytest

from harness import ODDJOB, run

COMMANDS = ("run logs ls show cancel pending approve deny workloads templates template image render audit login logout whoami"
            " context completion version").split()


def test_the_help_names_every_command_and_each_has_its_own():
    told = run([ODDJOB, "--help"])
    assert told.code == 0, told
    named = re.findall(r"^  ([a-z]+)(?:, [a-z]+)?  ", told.out.split("Subcommands:")[1], re.MULTILINE)
    assert named == COMMANDS
    for command in COMMANDS:
        own = run([ODDJOB, command, "--help"])
        # Global flags may stand before the command.
        same = run([ODDJOB, "-n", "shop", command, "--help"])
        assert own.code == 0 and f"Usage: oddjob {command}" in own.out and own.out == same.out, (own, same)
    assert run([ODDJOB, "list", "--help"]).out == run([ODDJOB, "ls", "--help"]).out


@pytest.mark.parametrize("words, message", [
    (["rnu"], "there is no command 'oddjob rnu'\n  hint: did you mean `oddjob run`?"),
    (["-n", "shop"], "`oddjob` needs a command\n  hint: there are: run, logs, ls, "),
    (["audit"], "`oddjob audit` needs a command\n  hint: there are: list, export, checkpoint, verify"),
    (["audit", "lst"], "there is no command 'oddjob audit lst'\n  hint: did you mean `oddjob audit list`?"),
    (["run", "--nope"], "`oddjob run` has no flag --nope"),
    (["run", "deploy/api", "true"], "`oddjob run` has no place for 'true'\n  hint: the command to run stands after `--`"),
    (["ls", "-o", "jsonl"], "-o jsonl is for `oddjob audit list`"),
    (["-o", "jsonl", "whoami"], "-o jsonl is for `oddjob audit list`"),
    (["show", "-o", "xml"], "xml"),
])
def test_what_is_not_understood_is_named_and_nothing_is_done(words, message):
    done = run([ODDJOB, *words])
    assert done.code == 125 and message in done.err and not done.out, done
