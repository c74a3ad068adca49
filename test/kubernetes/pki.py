"""The few keys and certificates of a test cluster, made by the openssl command."""

import os
import pathlib
import subprocess

DAYS = "30"


def openssl(*args, stdin=b""):
    done = subprocess.run(["openssl", *args], capture_output=True, input=stdin, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args[0]} failed: {done.stderr.decode(errors='replace')}")
    return done.stdout


class Authority:
    """One certificate authority, which signs servers and clients alike."""

    def __init__(self, folder, name="oddjob test cluster"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key, self.certificate = self.folder / "ca.key", self.folder / "ca.crt"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS,
                "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
                "-keyout", str(self.key), "-out", str(self.certificate))

    def sign(self, file, user, groups=(), names=(), days=DAYS):
        """Writes <file>.key and <file>.crt; a user and groups as Kubernetes reads them from a
        client's certificate, names as subjectAltName has them. Gives both paths."""
        key, certificate = self.folder / f"{file}.key", self.folder / f"{file}.crt"
        request, extensions = self.folder / f"{file}.csr", self.folder / f"{file}.ext"
        subject = "".join(f"/O={g}" for g in groups) + f"/CN={user}"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", subject, "-keyout", str(key), "-out", str(request))
        extensions.write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth,serverAuth\n" +
                              (f"subjectAltName={','.join(names)}\n" if names else ""))
        openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key),
                "-CAcreateserial", "-days", days, "-extfile", str(extensions), "-out", str(certificate))
        return key, certificate


def private_key(path):
    """An RSA key for service account tokens."""
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(path))
    os.chmod(path, 0o600)
    return pathlib.Path(path)
