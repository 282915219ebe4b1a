"""edgeuk/flash/firmware.py: the maker's files are found where distributions have them, taken out of
packages like Debian's, and whoever lacks them is told the command for this system."""

import subprocess
from contextlib import contextmanager

import pytest

from edgeuk import apt
from edgeuk.errors import DeviceError, ToolError
from edgeuk.flash import firmware

NAMES = ("start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb")
# Where the packages of Debian 12 and 13 have them.
PACKAGES = {
    "raspi-firmware": {
        "usr/lib/raspi-firmware/start4.elf": "start4",
        "usr/lib/raspi-firmware/start.elf": "for other models",
        "usr/lib/raspi-firmware/fixup4.dat": "fixup4",
        "usr/share/doc/raspi-firmware/copyright": "licence",
    },
    "linux-image-6.1.0-50-arm64": {
        "boot/vmlinuz-6.1.0-50-arm64": "a kernel",
        "usr/lib/linux-image-6.1.0-50-arm64/broadcom/bcm2711-rpi-4-b.dtb": "dtb",
        "usr/lib/linux-image-6.1.0-50-arm64/broadcom/bcm2837-rpi-3-b.dtb": "for other models",
    },
    "linux-image-arm64": {},
}
DEPENDS = {"linux-image-arm64": "linux-image-6.1.0-50-arm64 (= 6.1.170-1)"}


def package(folder, name):
    """A package as dpkg makes it."""
    root = folder / f"{name}.d"
    (root / "DEBIAN").mkdir(parents=True)
    fields = f"Package: {name}\nVersion: 1\nArchitecture: arm64\nMaintainer: x <x@y>\n"
    fields += f"Depends: {DEPENDS[name]}\n" if name in DEPENDS else ""
    (root / "DEBIAN/control").write_text(f"{fields}Description: x\n")
    for path, text in PACKAGES[name].items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    to = folder / f"{name}_1_arm64.deb"
    subprocess.run(["dpkg-deb", "--build", str(root), str(to)], check=True, capture_output=True)
    return to


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """apt-get that has these packages; what it was asked for is in `asked`."""
    asked = []
    monkeypatch.setenv("EDGEUK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(apt, "codename", lambda: "bookworm")

    class Get:
        folder = tmp_path / "files"

        def __call__(self, verb, *names):
            assert verb == "download"
            asked.extend(names)
            for name in names:
                package(self.folder, name)

    @contextmanager
    def isolated(*arguments, **options):
        asked.append((arguments, options))
        Get.folder.mkdir()
        yield Get()

    monkeypatch.setattr(apt, "isolated", isolated)
    return asked


def test_what_is_fetched_is_found(mirror, monkeypatch, tmp_path):
    monkeypatch.setattr(firmware, "FOLDERS", ())
    with pytest.raises(DeviceError):
        firmware.find(NAMES, None)
    assert firmware.fetch() == str(tmp_path / "cache/raspi-firmware")
    assert mirror[0] == (
        ("debian", "bookworm", "deb", "main non-free-firmware"),
        {"architecture": "arm64"},
    )
    assert mirror[1:] == ["raspi-firmware", "linux-image-arm64", "linux-image-6.1.0-50-arm64"]
    found = firmware.find(NAMES, None)
    assert found == dict(zip(NAMES, (b"start4", b"fixup4", b"dtb"), strict=True))
    kept = {p.name for p in firmware.cached().iterdir()}
    assert kept == {*NAMES, "copyright"}  # its licence goes with it
    firmware.fetch()
    assert len(mirror) == 4  # nothing is fetched twice


def test_a_package_that_is_none_leaves_nothing_behind(mirror, monkeypatch):
    monkeypatch.setattr(firmware, "unpack", lambda package, to: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        firmware.fetch()
    assert list(firmware.cached().parent.iterdir()) == []


def test_a_broken_package_is_said(tmp_path):
    broken = tmp_path / "broken.deb"
    broken.write_bytes(b"no package")
    with pytest.raises(ToolError, match="`dpkg-deb` failed: "):
        firmware.unpack(broken, tmp_path)


def test_missing_files_are_named_with_the_command_for_this_system(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEUK_CACHE", str(tmp_path))
    monkeypatch.setattr(firmware, "FOLDERS", ())
    hints = {}
    for release in ("bookworm", "trixie", "noble"):
        monkeypatch.setattr(apt, "codename", lambda release=release: release)
        with pytest.raises(DeviceError, match=r"missing \[E0811\]: start4.elf, fixup4.d") as caught:
            firmware.find(NAMES, None)
        hints[release] = caught.value.hint
    for release in ("bookworm", "trixie"):
        assert (
            "edgeuk.flash.firmware fetch` gets them from Debian's raspi-firmware" in hints[release]
        )
        assert "(component non-free-firmware)" in hints[release]
    assert hints["noble"].startswith("--firmware-dir with the folder `boot` of")
    with pytest.raises(ToolError, match="which package of `noble` has the Pi's firmware"):
        firmware.fetch()


def test_a_folder_that_is_given_is_the_only_one(tmp_path):
    (tmp_path / "start4.elf").write_text("x")
    with pytest.raises(DeviceError, match="missing") as caught:
        firmware.find(NAMES, tmp_path)
    assert caught.value.where == str(tmp_path)
    assert firmware.find(NAMES[:1], tmp_path) == {"start4.elf": b"x"}
