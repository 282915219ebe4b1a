"""A key in a PKCS#11 token (PKCS #11 2.40), named by a URI (RFC 7512): it signs there, and never
leaves. Which module speaks to the token is in the URI or in $EDGEUK_PKCS11_MODULE.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives.asymmetric import ec

from edgeuk.errors import ToolError, UsageError
from edgeuk.identity.sign import HALF, Secret, verifies

URI_NAMES = frozenset(
    (
        "token",
        "serial",
        "object",
        "id",
        "type",
        "manufacturer",
        "model",
        "module-path",
        "pin-source",
    )
)
URI_EXAMPLE = "pkcs11:token=NAME;object=NAME?module-path=/usr/lib/softhsm/libsofthsm2.so"


class Pkcs11Signer:
    """A key in a token (PKCS #11 2.40), named by a URI (RFC 7512)."""

    def __init__(self, uri: str, secret: Secret) -> None:
        self._uri = uri
        self._path, self._query = parse_uri(uri)
        self._secret = secret
        self._pin: str | None = None
        self._public: ec.EllipticCurvePublicKey | None = None

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        if self._public is None:
            with_point = self._with_token(self._read_point)
            try:
                point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), with_point)
            except ValueError:
                raise ToolError("the token's key is not of the curve P-256 [E0426]") from None
            self._public = point
        return self._public

    def sign_digest(self, digest: bytes) -> bytes:
        signature: bytes = self._with_token(
            lambda pkcs11, session: self._sign(pkcs11, session, digest)
        )
        if not verifies(self.public_key, digest, signature):
            self._refuse("its signature does not verify")
        return signature

    def _sign(self, pkcs11: Any, session: Any, digest: bytes) -> bytes:
        key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, **self._object())
        return bytes(key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA))

    def _read_point(self, pkcs11: Any, session: Any) -> bytes:
        key = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, **self._object())
        point = bytes(key[pkcs11.Attribute.EC_POINT])
        # CKA_EC_POINT is an OCTET STRING around the point (PKCS #11 2.40 mechanisms, 2.3.3).
        return point[2:] if point[:1] == b"\x04" and len(point) == 2 * HALF + 3 else point

    def _object(self) -> dict[str, Any]:
        names: dict[str, Any] = {}
        if "object" in self._path:
            names["label"] = self._path["object"].decode()
        if "id" in self._path:
            names["id"] = self._path["id"]
        return names

    def _with_token(self, work: Callable[[Any, Any], Any]) -> Any:
        pkcs11 = _pkcs11()
        wanted: dict[str, Any] = {}
        if "token" in self._path:
            wanted["token_label"] = self._path["token"].decode()
        if "serial" in self._path:
            wanted["token_serial"] = self._path["serial"]
        try:
            token = pkcs11.lib(self._module()).get_token(**wanted)
            with token.open(user_pin=self._ask_pin()) as session:
                return work(pkcs11, session)
        except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinInvalid):
            self._refuse("the PIN is wrong", "a token locks itself after a few wrong ones")
        except pkcs11.NoSuchToken:
            self._refuse(
                "there is no such token", "`pkcs11-tool --module M --list-slots` lists them"
            )
        except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned) as e:
            several = isinstance(e, pkcs11.MultipleObjectsReturned)
            self._refuse(f"the token has {'several such keys' if several else 'no such key'}")
        except (pkcs11.PKCS11Error, RuntimeError) as e:
            self._refuse(str(e) or type(e).__name__)

    def _module(self) -> str:
        name = self._query.get("module-path", b"").decode() or os.environ.get(
            "EDGEUK_PKCS11_MODULE"
        )
        if not name:
            hint = "?module-path=/usr/lib/... in the URI, or $EDGEUK_PKCS11_MODULE"
            self._refuse("no PKCS#11 module is named", hint)
        return name

    def _ask_pin(self) -> str:
        if self._pin is None:
            source = self._query.get("pin-source", b"").decode()
            if source:
                try:
                    text = Path(source.removeprefix("file:")).read_text()
                except (OSError, UnicodeDecodeError):
                    self._refuse("the file of `pin-source` cannot be read")
                self._pin = text.strip()
            else:
                self._pin = self._secret("PIN")
        return self._pin

    def _refuse(self, why: str, hint: str = "") -> NoReturn:
        token = self._path.get("token", b"").decode(errors="replace")
        what = f"PKCS#11 token{f' `{token}`' if token else ''}: {why} [E0429]"
        raise ToolError(what, hint=hint)


def parse_uri(uri: str) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
    """Path and query attributes of a PKCS#11 URI. Raises `UsageError`."""
    scheme, colon, rest = uri.partition(":")
    path, _, query = rest.partition("?")
    if scheme != "pkcs11" or not colon:
        raise UsageError("this is no PKCS#11 URI [E0429]", hint=f"such as {URI_EXAMPLE}")
    found = {k: dict(_pairs(part, mark)) for k, part, mark in (("p", path, ";"), ("q", query, "&"))}
    if "pin-value" in found["q"]:
        # The words do not repeat the URI: it has the PIN in it.
        hint = "pin-source=file:..., or $EDGEUK_PIN; without them it is asked for"
        raise UsageError("a PIN does not belong into a URI [E0429]", hint=hint)
    unknown = {*found["p"], *found["q"]} - URI_NAMES
    if unknown:
        what = f"`{sorted(unknown)[0]}` is not used in PKCS#11 URIs here [E0429]"
        raise UsageError(what, hint=f"such as {URI_EXAMPLE}")
    return found["p"], found["q"]


def _pairs(text: str, mark: str) -> Iterator[tuple[str, bytes]]:
    for part in text.split(mark):
        if part:
            name, _, value = part.partition("=")
            yield name, unquote_to_bytes(value)


def _pkcs11() -> Any:
    try:
        return importlib.import_module("pkcs11")
    except ModuleNotFoundError:
        hint = f'{sys.executable} -m pip install "edgeuk[pkcs11]"'
        raise ToolError("PKCS#11 needs the package `python-pkcs11` [E0429]", hint=hint) from None
