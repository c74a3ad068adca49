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
        self.port = 5432
        self.start()

    def start(self, *options):
        # Its parent is this program, whose death ends it.
        settings = [word for option in ("fsync=off", *options) for word in ("-c", option)]
        self.process = Process([str(SCRIPT), str(self.folder), *settings], self.folder / "postgres.log")
        eventually(lambda: self.query("SELECT 1").returncode == 0 or not self.process.alive(), "PostgreSQL answers", 60)
        assert self.process.alive(), self.process.log.read_text()[-2000:]

    def query(self, sql, database="postgres"):
        return subprocess.run(["psql", "-h", str(self.folder), "-p", str(self.port), "-U", "postgres", "-d", database, "-qAtc", sql],
                              capture_output=True, text=True, timeout=60, check=False)

    def create(self, name):
        """A new database; its URL."""
        done = self.query(f"CREATE DATABASE {name}")
        assert done.returncode == 0, done.stderr
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def serve_network(self, port, key, certificate):
        """Begins anew, on a port of loopback too, as a company's does: by TLS and password only."""
        self.end()
        access = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
        for name, content in (("server.key", pathlib.Path(key).read_text()), ("hba.conf", access),
                              ("server.crt", pathlib.Path(certificate).read_text())):
            (self.folder / name).write_text(content)
            (self.folder / name).chmod(0o600)
            shutil.chown(self.folder / name, self.folder.owner())
        self.port = port
        self.start("listen_addresses=127.0.0.1", f"port={port}", "ssl=on", f"hba_file={self.folder}/hba.conf",
                   f"ssl_key_file={self.folder}/server.key", f"ssl_cert_file={self.folder}/server.crt")

    def end(self, how=signal.SIGINT):
        os.kill(self.process.child.pid, how)
        eventually(lambda: not self.process.alive(), "PostgreSQL ends", 60)

    def stop(self):
        if self.process.alive():
            self.end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
