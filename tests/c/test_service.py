"""The web service of examples/http-hello as a Linux process with sanitizers, spoken to over
sockets: what is answered, what is refused, what clients that stall, flood or vanish do to others.

Expected answers are those of RFC 9110 and RFC 9112; numbers in parentheses are the latter's.
"""

import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edgeuk import device_config
from edgeuk.build import build
from edgeuk.catalog import find_board, load_catalog
from edgeuk.gateway import load_gateway
from edgeuk.resolve import resolve
from edgeuk.run.broker import free_port
from edgeuk.run.host import Host

EXAMPLE = Path(__file__).parents[2] / "examples/http-hello/gateway.toml"
LIMIT_S = 20.0
CONNECTIONS = 8  # of the example
HOST = b"Host: x\r\n"


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    catalog = load_catalog()
    found = resolve(load_gateway(EXAMPLE, catalog), find_board(catalog, "host"), catalog)
    return build(found, tmp_path_factory.mktemp("http-hello")).image


@pytest.fixture
def port(image) -> Iterator[int]:
    """Of a running service, which must have survived the test."""
    port = free_port()
    with Host(image, device_config.encode({"name": "x", "service.port": str(port)})) as process:
        process.wait_line(f"port {port}: listening", LIMIT_S)
        yield port
        assert answer(port, b"GET /alive HTTP/1.1\r\n" + HOST + b"\r\n")[0] == 200
        assert process.poll() is None, process.tail()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), LIMIT_S)


def read_answer(client: socket.socket, *, content: bool = True) -> tuple[int, dict[str, str], str]:
    """One answer: its status, fields, content."""
    data = b""
    while b"\r\n\r\n" not in data:
        byte = client.recv(1)
        assert byte, f"the connection ended after {data!r}"
        data += byte
    status, *lines = data.decode().rstrip().split("\r\n")
    assert status.startswith("HTTP/1.1 ")
    fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    body = b""
    while content and len(body) < int(fields["content-length"]):
        more = client.recv(int(fields["content-length"]) - len(body))
        assert more, "the content was cut"
        body += more
    return int(status.split()[1]), fields, body.decode()


def answer(port: int, request: bytes, **how: bool) -> tuple[int, dict[str, str], str]:
    with connect(port) as client:
        client.sendall(request)
        return read_answer(client, **how)


def request(path: bytes = b"/", *, version: bytes = b"HTTP/1.1", fields: bytes = HOST) -> bytes:
    return b"GET " + path + b" " + version + b"\r\n" + fields + b"\r\n"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", "/"),
        (b"/a/b.html", "/a/b.html"),
        (b"/a?x=/y", "/a"),
        (b"/%41%00", "/%41%00"),
        (b"http://example.com/abs", "/abs"),
        (b"http://example.com", "/"),
        (b"HTTP://example.com?x", "/"),
        (b"/" + b"p" * 900, "/" + "p" * 900),
    ],
)
def test_a_path_is_greeted(port, target, path):
    status, fields, content = answer(port, request(target))
    assert (status, content) == (200, f"Hello from Unikernel! Path: {path}")
    assert fields["content-type"] == "text/plain; charset=utf-8"
    assert "connection" not in fields


def test_head_has_the_fields_of_get_and_no_content(port):
    with connect(port) as client:
        client.sendall(b"HEAD /abc HTTP/1.1\r\n" + HOST + b"\r\n" + request(b"/next"))
        assert read_answer(client, content=False)[1]["content-length"] == "32"
        assert read_answer(client)[2].endswith("/next")


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3\r\n\r\n", 400),  # TLS
        (b"GET\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),  # HTTP/0.9
        (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1 x\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/11\r\n" + HOST + b"\r\n", 400),
        (b"GET / http/1.1\r\n" + HOST + b"\r\n", 400),
        (b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /\x80 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http:///x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (request(fields=b""), 400),  # no Host (3.2)
        (request(fields=HOST + HOST), 400),
        (request(fields=HOST + b"No colon\r\n"), 400),
        (request(fields=HOST + b"Space : x\r\n"), 400),  # (5.1)
        (request(fields=HOST + b" folded\r\n"), 400),  # (5.2)
        (request(fields=HOST + b"X: a\0b\r\n"), 400),
        (request(fields=HOST + b"X: a\rb\r\n"), 400),
        (request(fields=HOST + b": x\r\n"), 400),
        (request(fields=HOST + b"Content-Length: -1\r\n"), 400),
        (request(fields=HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n"), 400),
        (request(fields=HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 405),  # case matters: RFC 9110, 9.1
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"GET /" + b"x" * 1100, 414),
        (request(fields=HOST + b"X: " + b"y" * 1100), 431),
        (request(fields=HOST + b"X: y\r\n" * 300), 431),
        (request(version=b"HTTP/2.0"), 505),
    ],
)
def test_what_is_wrong_is_refused(port, bad, status):
    with connect(port) as client:
        client.sendall(bad)
        found, fields, _ = read_answer(client)
        assert (found, fields["connection"]) == (status, "close")
        assert ("allow" in fields) == (status == 405)


def test_after_an_error_nothing_is_looked_at_and_the_connection_ends(port):
    with connect(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"\r\n")
        read_answer(client)
        client.sendall(request() * 100)
        assert client.recv(1) == b""


def test_requests_share_a_connection_one_after_the_other_or_all_at_once(port):
    with connect(port) as client:
        for number in range(20):
            client.sendall(request(f"/{number}".encode()))
            assert read_answer(client)[2].endswith(f"/{number}")
        client.sendall(b"\r\n".join(request(f"/{number}".encode()) for number in range(20)))
        for number in range(20):
            assert read_answer(client)[2].endswith(f"/{number}")


@pytest.mark.parametrize("ends", [b"\r\n", b"\n"])
def test_a_request_may_come_byte_by_byte(port, ends):
    with connect(port) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request(b"/slow").replace(b"\r\n", ends):
            client.sendall(bytes([byte]))
        assert read_answer(client)[2].endswith("/slow")


@pytest.mark.parametrize(
    "last",
    [
        request(fields=HOST + b"Connection: close\r\n"),
        request(fields=HOST + b"Connection: x,\tCLOSE , y\r\n"),
        request(version=b"HTTP/1.0", fields=b""),
        request(fields=HOST + b"Content-Length: 3\r\n") + b"abc",
        request(fields=HOST + b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
    ],
)
def test_the_last_answer_says_so_and_ends_the_connection(port, last):
    with connect(port) as client:
        client.sendall(last)
        status, fields, _ = read_answer(client)
        assert (status, fields["connection"]) == (200, "close")
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:  # content was left unread
            assert last[-2:] != b"\r\n" or b"chunked" in last


def wait_until_read(port: int) -> None:
    """Until no byte waits in a socket of 127.0.0.1:`port`, at either end (proc(5), net/tcp)."""
    end = time.monotonic() + 10
    while True:
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        fields = [line.split() for line in lines if f":{port:04X}" in line]
        if all(queues == "00000000:00000000" for _, _, _, _, queues, *_ in fields):
            return
        assert time.monotonic() < end, "the service does not read"


def test_connections_that_wait_make_room_and_those_at_work_do_not(port):
    waiting = [connect(port) for _ in range(CONNECTIONS)]
    for client in waiting:
        client.sendall(request())
        read_answer(client)
    assert answer(port, request(b"/new"))[0] == 200
    assert waiting[0].recv(1) == b"", "the one that waited longest makes room"
    for client in waiting:
        client.close()
    busy = [connect(port) for _ in range(CONNECTIONS)]
    for client in busy:
        client.sendall(b"GET / HT")
    wait_until_read(port)
    with suppress(ConnectionError), connect(port) as late:  # turned away, perhaps that early
        late.sendall(request())
        assert late.recv(1) == b""
    for client in busy:
        client.sendall(b"TP/1.1\r\n" + HOST + b"\r\n")
        assert read_answer(client)[0] == 200
        client.close()


@pytest.mark.slow
def test_a_client_that_stalls_is_dropped_in_time(port):
    with connect(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        start = time.monotonic()
        assert client.recv(1) == b""
        assert 9 < time.monotonic() - start < 20  # later only by a loaded machine


def test_clients_that_reset_or_never_read_hurt_nobody(port):
    for number in range(40):
        client = connect(port)
        client.sendall(request() * (number % 5))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    with connect(port) as deaf:
        deaf.settimeout(1)
        try:
            for _ in range(20_000):
                deaf.sendall(request(b"/" + b"x" * 500))
        except OSError:  # it was told to go, or nobody takes more
            pass


def test_noise_is_survived(port):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    noise = random.Random(seed)
    good = request(b"/x", fields=HOST + b"Connection: keep-alive\r\nContent-Length: 0\r\n")
    for _ in range(300):
        data = bytearray(good * noise.randrange(1, 4))
        for _ in range(noise.randrange(1, 6)):
            data[noise.randrange(len(data))] = noise.choice(b"\0\r\n :/GH\x7f\xff,1")
        with connect(port) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
