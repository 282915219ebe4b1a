"""The frames that the firmware sends (app/serial/frames.c, on the host with sanitizers), read by
the SDK's decoder and compared with its encoder. Payloads are random, with many zeros, few, and
none, of lengths around a block of COBS; the seed is printed."""

import random
import shutil
import subprocess
from pathlib import Path

from edgeuk.serial_frames import Decoder, Frame, encode

ROOT = Path(__file__).parents[2]
PAYLOAD_MAX = 600  # EK_MESSAGE_BYTES here
LENGTHS = (0, 1, 2, 248, 249, 250, 251, 252, 253, 254, 255, 502, 503, 504, 505, 506, 600)


def payloads(rng):
    for length in [*LENGTHS, *(rng.randrange(PAYLOAD_MAX + 1) for _ in range(300))]:
        yield bytes(length)
        yield bytes(rng.randrange(1, 256) for _ in range(length))
        yield bytes(rng.choice((0, 1, 255)) for _ in range(length))
        yield bytes(rng.randrange(256) for _ in range(length))


def test_what_the_firmware_sends_is_what_the_decoder_reads(tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    compiler = shutil.which("cc")
    assert compiler, "no C compiler: apt-get install gcc"
    (tmp_path / "config.h").write_text(f"#define EK_MESSAGE_BYTES {PAYLOAD_MAX}\n")
    program = tmp_path / "frames"
    sources = [ROOT / "tests/c/app/frames.c", ROOT / "firmware/app/serial/frames.c"]
    includes = [tmp_path, ROOT / "firmware", ROOT / "firmware/include"]
    flags = [
        "-O1",
        "-g",
        "-Wall",
        "-Werror",
        "-fsanitize=address,undefined",
        "-D__FILE_NAME__=__FILE__",
    ]
    flags += ["-Wno-builtin-macro-redefined", *(f"-I{i}" for i in includes)]
    subprocess.run([compiler, *flags, *sources, "-o", program], check=True, timeout=120)

    frames = [
        Frame(1 + number % 4, number, payload) for number, payload in enumerate(payloads(rng))
    ]
    asked = b"".join(
        bytes([f.type]) + len(f.payload).to_bytes(2, "big") + f.payload for f in frames
    )
    line = subprocess.run(
        [program], input=asked, capture_output=True, timeout=60, check=True
    ).stdout
    assert line == b"".join(map(encode, frames))
    decoder = Decoder()
    assert list(decoder.feed(line)) == frames
    assert (decoder.lost, decoder.damaged) == (0, 0)
