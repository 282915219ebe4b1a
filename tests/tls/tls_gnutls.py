"""GnuTLS as a server, by ctypes: it keeps to a client's record size limit (RFC 8449), which OpenSSL
does not know."""

import ctypes
import socket
from pathlib import Path

SERVER, CRD_CERTIFICATE, PEM = 1, 1, 1  # gnutls.h
SHUT_WR = 1
AGAIN = {-28, -52}  # GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED


def load() -> ctypes.CDLL | None:
    """The library, with the types of what is used of it; None where it is not installed."""
    try:
        library = ctypes.CDLL("libgnutls.so.30")
    except OSError:
        return None
    for name in ("gnutls_record_send", "gnutls_record_recv"):
        function = getattr(library, name)
        function.restype = ctypes.c_ssize_t
        function.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    library.gnutls_priority_set_direct.argtypes = [pointer, text, pointer]
    library.gnutls_transport_set_int2.argtypes = [pointer, number, number]
    for name in ("gnutls_handshake", "gnutls_deinit"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    return library


class GnuTls:
    """One connection of a server with this certificate."""

    def __init__(
        self, library: ctypes.CDLL, connection: socket.socket, certificate: Path, key: Path,
        priority: str,
    ) -> None:  # fmt: skip
        self.library = library
        connection.settimeout(None)  # it is to block
        credentials, self.session = ctypes.c_void_p(), ctypes.c_void_p()
        self._ok(library.gnutls_certificate_allocate_credentials(ctypes.byref(credentials)))
        self._ok(
            library.gnutls_certificate_set_x509_key_file(
                credentials, str(certificate).encode(), str(key).encode(), PEM
            )
        )
        self._ok(library.gnutls_init(ctypes.byref(self.session), SERVER))
        self._ok(library.gnutls_priority_set_direct(self.session, priority.encode(), None))
        self._ok(library.gnutls_credentials_set(self.session, CRD_CERTIFICATE, credentials))
        library.gnutls_transport_set_int2(self.session, connection.fileno(), connection.fileno())
        while (result := library.gnutls_handshake(self.session)) in AGAIN:
            pass
        self._ok(result)

    def _ok(self, result: int) -> None:
        if result < 0:
            raise OSError(f"GnuTLS: error {result}")

    def send(self, data: bytes) -> list[int]:
        """In as few records as it may; their sizes."""
        records = []
        while data:
            sent = self.library.gnutls_record_send(self.session, data, len(data))
            self._ok(sent)
            data = data[sent:]
            records.append(int(sent))
        return records

    def receive(self, size: int = 1024) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        got = self.library.gnutls_record_recv(self.session, buffer, size)
        self._ok(got)
        return buffer.raw[:got]

    def close(self) -> None:
        self.library.gnutls_bye(self.session, SHUT_WR)
        self.library.gnutls_deinit(self.session)
