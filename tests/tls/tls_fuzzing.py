"""Builds the TLS fuzzer and the replayer for use by hand: python -m tls_fuzzing FOLDER
(tests/fuzz/README.md)."""

import sys
import time
from pathlib import Path

from tls_build import HERE, ROOT, Library
from tls_pki import CLIENT, Pki
from tls_rig import TlsBroker, server_context
from tls_seeds import seeds

LIED_ABOUT = (
    "mbedtls_ct_memcmp",
    "psa_aead_decrypt",
    "psa_export_public_key",
    "psa_generate_key",
    "psa_raw_key_agreement",
    "psa_sign_hash",
    "psa_verify_hash",
)


def fuzzer(library: Library) -> Path:
    sources = ROOT / "tests/fuzz/tls_fuzz.c", HERE / "world.c"
    return library.program("tls_fuzz", *sources, wrap=LIED_ABOUT, fuzzer=True)


def replayer(library: Library) -> Path:
    sources = HERE / "replay.c", HERE / "world.c"
    return library.program("replay", *sources, wrap=("tls_calloc",))


def identity(pki: Pki) -> Path:
    """A CA, a server's certificate, and a folder as world.c reads it."""
    pki.make("ca", ca=True)
    pki.make("server", issuer="ca")
    pki.make("device", issuer="ca", extended=CLIENT, names="")
    folder = pki.folder / "device.d"
    folder.mkdir(exist_ok=True)
    (folder / "ca").write_bytes(pki.der("ca"))
    (folder / "cert").write_bytes(pki.der("device"))
    (folder / "key").write_bytes(pki.der("device", "key"))
    return folder


def write_seeds(pki: Pki, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in seeds([pki.der("server")], pki.der("server", "key")):
        (folder / name).write_bytes(data)


def recording_broker(pki: Pki) -> TlsBroker:
    """Demands a certificate; gives no tickets, which would make a second connection another."""
    context = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))
    context.num_tickets = 0
    return TlsBroker(context)


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    library, pki, now = Library(folder), Pki(folder), int(time.time())
    own = identity(pki)
    write_seeds(pki, folder / "seeds")
    (folder / "corpus").mkdir(exist_ok=True)
    settings = f"EDGEUK_TLS_FOLDER={own} EDGEUK_TLS_NOW={now}"
    scripts = {
        "run": f'{settings} exec {fuzzer(library)} "$@" {folder}/corpus {folder}/seeds',
        "replay-run": f'exec {replayer(library)} {own} {now} "$@"',
    }
    for name, line in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    with recording_broker(pki) as broker:
        library.run([str(folder / "replay-run"), "live", str(broker.port)])


if __name__ == "__main__":
    main()
