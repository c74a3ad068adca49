"""A man in the middle between the server and a real API server, for faults on the way.

It ends TLS with a certificate of the cluster's authority and speaks HTTP/1.1, so that
it sees each request and can wait for the one that a test means:

    with ApiProxy(cluster) as proxy:
        server = harness.Server(folder, proxy.kubeconfig(kubeconfig))
        trap = proxy.trap("POST", "/jobs", cluster.apiserver.kill)   # before it passes
        trap = proxy.trap("PATCH", "/jobs/", kill, when="answered")  # done, its answer swallowed;
                                                                     # "halved": half of it passes;
                                                                     # "late": all of it, after the action
        trap.wait()
        proxy.delay, proxy.pace = 0.2, 20_000     # seconds a chunk, bytes a second
        proxy.cut()                               # every connection, now
        proxy.hold(); proxy.pass_on()             # silence: all stay open, nothing passes
        proxy.busy = True                         # each request is answered as API Priority and Fairness
                                                  # does: 429, Retry-After; streams that are open go on
        proxy.passed("GET", "/watch"), proxy.seen(b'"code":410')
"""

import contextlib
import pathlib
import re
import select
import socket
import ssl
import threading
import time
import urllib.parse

import yaml

REQUEST = re.compile(rb"^(GET|POST|PUT|PATCH|DELETE) (\S+) HTTP/1\.1\r\n")
CHUNK = 64 << 10
BUSY = (b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too many requests, please try '
        b'again later","reason":"TooManyRequests","code":429}')


class Trap:
    """Springs once, at the n-th request of that kind."""

    def __init__(self, method, part, action, when, nth):
        self.method, self.part, self.action, self.when, self.nth = method, part, action, when, nth
        self.sprung = threading.Event()

    def matches(self, method, target):
        if self.sprung.is_set() or method != self.method or self.part not in target:
            return False
        self.nth -= 1
        return self.nth == 0

    def wait(self, seconds=120):
        assert self.sprung.wait(seconds), f"no {self.method} {self.part} within {seconds} s"


class ApiProxy:
    def __init__(self, cluster):
        self._cluster = cluster
        self._to = urllib.parse.urlsplit(cluster.server)
        key, certificate = cluster.authority.sign("apiproxy", "apiproxy", names=["IP:127.0.0.1"])
        self._inward = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._inward.load_cert_chain(certificate, key)
        self._inward.set_alpn_protocols(["http/1.1"])
        self._outward = ssl.create_default_context(cafile=cluster.ca)
        self._outward.set_alpn_protocols(["http/1.1"])
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.server = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.delay, self.pace, self.busy = 0.0, 0, False
        self.requests, self.refused = [], 0
        self._wanted, self._seen = set(), set()
        self._traps, self._pairs, self._lock = [], set(), threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._ended = False

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._ended = True
        self._open.set()
        self._listener.close()
        self.cut()

    def kubeconfig(self, path, **user):
        """The kubeconfig at `path`, leading through here; `user` replaces its credentials."""
        config = yaml.safe_load(pathlib.Path(path).read_text())
        config["clusters"][0]["cluster"]["server"] = self.server
        if user:
            config["users"][0]["user"] = user
        through = pathlib.Path(f"{path}.{self.server.rsplit(':', 1)[1]}")
        through.touch(0o600)
        through.write_text(yaml.safe_dump(config))
        return str(through)

    def trap(self, method, part, action, when="asked", nth=1):
        trap = Trap(method, part, action, when, nth)
        with self._lock:
            self._traps.append(trap)
        return trap

    def watch_for(self, words):
        with self._lock:
            self._wanted.add(words)

    def seen(self, words):
        return words in self._seen

    def passed(self, method, part):
        return sum(m == method and part in t for m, t in list(self.requests))

    def cut(self):
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for end in pair:
                _close(end)
        return len(pairs)

    def hold(self):
        self._open.clear()

    def pass_on(self):
        self._open.set()

    # ---- inside ----------------------------------------------------------------

    def _accept(self):
        while not self._ended:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, raw):
        try:
            raw.settimeout(30)
            client = self._inward.wrap_socket(raw, server_side=True)
            upstream = self._outward.wrap_socket(socket.create_connection((self._to.hostname, self._to.port), 10),
                                                 server_hostname=self._to.hostname)
        except OSError:
            return _close(raw)
        pair = client, upstream = _End(client), _End(upstream)
        with self._lock:
            self._pairs.add(pair)
        pending = []
        answers = threading.Thread(target=self._pump, args=(upstream, client, lambda d: self._answer(d, pending, client)), daemon=True)
        answers.start()
        self._pump(client, upstream, lambda d: self._request(d, pending, client))
        answers.join()
        with self._lock:
            self._pairs.discard(pair)

    def _pump(self, source, sink, look):
        with contextlib.suppress(OSError, ValueError):
            while data := source.recv(CHUNK):
                self._open.wait()
                if look(data):
                    break
                if self.delay or self.pace:
                    time.sleep(self.delay + (len(data) / self.pace if self.pace else 0))
                sink.sendall(data)
        _close(source)
        _close(sink)

    def _request(self, data, pending, client):
        head = REQUEST.match(data)
        if not head:
            return False
        if self.busy:
            self.refused += 1
            client.sendall(b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
                           b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BUSY) + BUSY)
            return True
        method, target = head.group(1).decode(), urllib.parse.unquote(head.group(2).decode())
        self.requests.append((method, target))
        with self._lock:
            trap = next((t for t in self._traps if t.matches(method, target)), None)
        if not trap:
            return False
        if trap.when != "asked":
            pending.append(trap)
            return False
        return _spring(trap)

    def _answer(self, data, pending, client):
        for words in self._wanted:
            if words in data:
                self._seen.add(words)
        if not pending:
            return False
        trap = pending.pop()
        if trap.when == "halved":
            client.sendall(data[:len(data) // 2])
        return _spring(trap) and trap.when != "late"


class _End:
    """One end of a connection, which one thread reads while another writes: OpenSSL's objects are not for two
    threads at once, so they take turns, and wait for the network outside of their turn."""

    def __init__(self, connection):
        connection.setblocking(False)
        self._connection, self._turn = connection, threading.Lock()

    def _when_it_can(self, act):
        while True:
            with self._turn:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    wanted = [self._connection], [], []
                except ssl.SSLWantWriteError:
                    wanted = [], [self._connection], []
            select.select(*wanted, 5)

    def recv(self, size):
        return self._when_it_can(lambda: self._connection.recv(size))

    def sendall(self, data):
        while data:
            data = data[self._when_it_can(lambda: self._connection.send(data)):]

    def shutdown(self, how):
        self._connection.shutdown(how)

    def close(self):
        self._connection.close()


def _spring(trap):
    """What the trap stopped does not pass on, and its connection is cut."""
    try:
        trap.action()
    finally:
        trap.sprung.set()
    return True


def _close(end):
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        end.close()
