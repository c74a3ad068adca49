"""A renewed certificate is served without a restart; one that cannot be used leaves the old one."""

import signal
import ssl

import pytest

from harness import eventually, run


def make(folder, name):
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    done = run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(crt)])
    assert done.code == 0, done
    return crt, key


@pytest.fixture
def secured(own_server, tmp_path):
    files = dict(zip(("tlsCertFile", "tlsKeyFile"), (tmp_path / "tls.crt", tmp_path / "tls.key")))
    own_server.config["listen"].update({k: str(v) for k, v in files.items()})
    own_server.made = {name: make(tmp_path, name) for name in ("first", "second", "third")}

    def put(name, key=None):
        files["tlsCertFile"].write_bytes(own_server.made[name][0].read_bytes())
        files["tlsKeyFile"].write_bytes(own_server.made[key or name][1].read_bytes())

    own_server.put = put
    put("first")
    return own_server.start()


def served(server):
    return ssl.get_server_certificate(("127.0.0.1", server.config["listen"]["port"]))


def expected(server, name):
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(server.made[name][0].read_text()))


def test_a_renewed_certificate_is_served(secured):
    assert served(secured) == expected(secured, "first")
    secured.put("second", key="third")
    eventually(lambda: "kept the old certificate" in secured.log(), "it says that the pair does not fit", 60)
    assert served(secured) == expected(secured, "first")
    secured.put("second")
    eventually(lambda: served(secured) == expected(secured, "second"), "the second certificate is served", 60)
    secured.put("third")
    secured.process.child.send_signal(signal.SIGHUP)
    eventually(lambda: served(secured) == expected(secured, "third"), "SIGHUP looks at once", 8)
    environment = {"ODDJOB_CA_FILE": str(secured.made["third"][0])}
    assert secured.oddjob("ann", "whoami", extra=environment).code == 0
    assert secured.process.stop() == 0, secured.log()
