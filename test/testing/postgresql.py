"""A real PostgreSQL for end-to-end tests (postgresql.sh), on a socket in a folder of its own."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from processes import Process, eventually

SCRIPT = pathlib.Path(__file__).with_name("postgresql.sh")


class Postgres:
    def __init__(self):
        # Not below pytest's folders: PostgreSQL runs as another user, who may not enter those.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="oddjob-pg-"))
        self.folder.chmod(0o755)
        self.start()

    def start(self):
        # Its parent is this program, whose death ends it.
        self.process = Process([str(SCRIPT), str(self.folder), "-c", "fsync=off"], self.folder / "postgres.log")
        eventually(lambda: self.query("SELECT 1").returncode == 0 or not self.process.alive(), "PostgreSQL answers", 60)
        assert self.process.alive(), self.process.log.read_text()[-2000:]

    def query(self, sql, database="postgres"):
        return subprocess.run(["psql", "-h", str(self.folder), "-U", "postgres", "-d", database, "-qAtc", sql],
                              capture_output=True, text=True, timeout=60, check=False)

    def create(self, name):
        """A new database; its URL."""
        done = self.query(f"CREATE DATABASE {name}")
        assert done.returncode == 0, done.stderr
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def end(self, how=signal.SIGINT):
        os.kill(self.process.child.pid, how)
        eventually(lambda: not self.process.alive(), "PostgreSQL ends", 60)

    def stop(self):
        if self.process.alive():
            self.end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
