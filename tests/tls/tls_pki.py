"""Certificates for the tests of TLS, good and bad, made by the openssl program; none is stored."""

import base64
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = "DNS:localhost,IP:127.0.0.1,IP:10.0.2.2"
SERVER, CLIENT = "serverAuth", "clientAuth"
# A root that signs with what it is told, as `openssl ca` sets dates, which `x509 -req` does not.
CA_CONF = """\
[ca]
default_ca = this
[this]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
policy = policy
unique_subject = no
[policy]
commonName = supplied
"""


def stamp(days: float) -> str:
    """So many days from now, as `openssl ca` takes it."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


@dataclass(slots=True)
class Pki:
    """Every certificate is `<name>.crt`, its key `<name>.key`, in one folder. Made once each."""

    folder: Path
    made: set[str] = field(default_factory=set)
    _der: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "index.txt").touch()
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "ca.conf").write_text(CA_CONF.format(folder=self.folder))

    def crt(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def run(self, *argv: str) -> bytes:
        done = subprocess.run(["openssl", *argv], cwd=self.folder, capture_output=True, check=False)
        assert done.returncode == 0, f"openssl {' '.join(argv)}: {done.stderr.decode()}"
        return done.stdout

    def make(
        self,
        name: str,
        *,
        issuer: str = "",
        subject: str = "",
        ca: bool = False,
        usage: str | None = None,
        extended: str = SERVER,
        names: str = HERE,
        days: tuple[float, float] = (-1, 99),
        key: str = "P-256",
        digest: str = "sha256",
        key_of: str = "",
        extra: str = "",
    ) -> str:
        """A certificate by `issuer` ("": by itself), valid between two days from now. `key`: a
        curve, or rsa:BITS; `key_of` takes another one's key. `usage` "": no such extension."""
        if name in self.made:
            return name
        self.made.add(name)
        if key_of:
            self.key(name).write_bytes(self.key(key_of).read_bytes())
        elif key.startswith("rsa:"):
            self.run("genrsa", "-out", f"{name}.key", key[4:])
        else:
            self.run("ecparam", "-name", key, "-genkey", "-noout", "-out", f"{name}.key")
        usage = ("keyCertSign" if ca else "digitalSignature") if usage is None else usage
        lines = [f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}", extra]
        lines += [f"keyUsage=critical,{usage}"] if usage else []
        lines += [f"extendedKeyUsage={extended}"] if extended and not ca else []
        lines += [f"subjectAltName={names}"] if names and not ca else []
        (self.folder / f"{name}.ext").write_text("\n".join(lines) + "\n")
        self.run("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={subject or name}",
                 "-out", f"{name}.csr")  # fmt: skip
        by = ["-cert", f"{issuer}.crt", "-keyfile", f"{issuer}.key"] if issuer else [
            "-selfsign", "-keyfile", f"{name}.key"]  # fmt: skip
        dates = ["-startdate", stamp(days[0]), "-enddate", stamp(days[1])]
        files = ["-extfile", f"{name}.ext", "-in", f"{name}.csr", "-out", f"{name}.crt"]
        base = ["-batch", "-notext", "-config", "ca.conf", "-md", digest]
        self.run("ca", *base, *by, *dates, *files)
        return name

    def bundle(self, name: str, *parts: str) -> Path:
        """Several certificates in one file, as servers send them."""
        path = self.folder / f"{name}.pem"
        path.write_bytes(b"".join(self.crt(part).read_bytes() for part in parts))
        return path

    def der(self, name: str, kind: str = "crt") -> bytes:
        if (name, kind) not in self._der:
            command = "ec" if kind == "key" else "x509"
            der = self.run(command, "-in", f"{name}.{kind}", "-outform", "DER")
            self._der[name, kind] = der
        return self._der[name, kind]

    def values(self, ca: str = "ca", device: str = "device") -> dict[str, str]:
        """What the device configuration has of them."""
        values = {"tls.ca": base64.b64encode(self.der(ca)).decode()}
        if device:
            values["tls.cert"] = base64.b64encode(self.der(device)).decode()
            values["tls.key"] = base64.b64encode(self.der(device, "key")).decode()
        return values
