"""The demo is what a newcomer sees first: it must work, and say what it shows."""

import os
import subprocess

from harness import BIN, ROOT


def test_the_demo_shows_a_run_a_refusal_and_a_verified_audit(tmp_path):
    done = subprocess.run([str(ROOT / "script" / "demo"), "--check"], cwd=tmp_path, capture_output=True, timeout=300,
                          env=dict(os.environ, ODDJOB_DEMO_BIN=str(BIN), ODDJOB_DEMO_DIR=str(tmp_path / "demo"),
                                   NO_COLOR="1"), stdin=subprocess.DEVNULL)
    text = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, text
    for promise in ("exit code 3", "refused", "audit"):
        assert promise in text, text
