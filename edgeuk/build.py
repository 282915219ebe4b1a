"""From a resolved image to files: generate, compile what the cache lacks, link, pack, measure.

Everything goes to one output folder, locked while a build runs there. Ninja runs the compilers and
the linker; when nothing changed, neither Ninja nor a compiler is started. No step reaches the
network. The result depends on contents only: no path of this machine, no time but
build_time.py's, no order of a directory gets into it.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeuk import objects, size, third_party, toolchain, units
from edgeuk.build_time import build_time
from edgeuk.cache import clear_errors, locked, write_atomic, write_changed
from edgeuk.errors import BuildError
from edgeuk.generate import Generated, generate, has_tls
from edgeuk.ninja import Edge, run_ninja
from edgeuk.objects import Hashes
from edgeuk.origin import origins
from edgeuk.pack import elf
from edgeuk.resolve import Image
from edgeuk.toolchain import Compiler
from edgeuk.units import Tree, Unit

LOCK_WAIT_S = 120.0
IMAGE, DEBUG, MAP, RECORD = "gateway.elf", "gateway.debug.elf", "gateway.map", "build.json"
FLAT = "gateway.bin"  # what a programmer writes, where the board has flash

LTO_OPTIONS = ("--lto-O3",)  # what else suits an architecture is in its arch.toml
# The addresses of a panic are those of the file.
NATIVE_LINK = ("-no-pie",)

Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]  # done, of, what


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build made. `ram_bytes` is static: data and bss, without the stack."""

    board: str
    image: Path
    debug: Path
    sha256: str
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    seconds: float
    cached: bool  # nothing had changed
    build_id: str
    sizes: size.Sizes

    def to_json(self) -> dict[str, Any]:
        """For `edgeuk build --json`."""
        keys = ("board", "sha256", "flash_bytes", "ram_bytes", "stack_bytes", "cached", "build_id")
        return {key: getattr(self, key) for key in keys} | {
            "image": str(self.image),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that is known before anything is compiled."""

    image: Image
    out: Path
    tree: Tree
    units: Sequence[Unit]
    compiler: Compiler
    generated: Generated
    build_id: str


def build(
    image: Image,
    out: Path,
    *,
    say: Say = lambda line: None,
    progress: Progress = lambda done, of, what: None,
    lock_wait_s: float = LOCK_WAIT_S,
) -> BuildResult:
    """Build `image` into the folder `out`. Raises `ToolError` when something needed is missing,
    `BuildError` when a source does not compile, the image does not fit, a budget is passed, or
    the file system refuses."""
    started = time.monotonic()
    out = out.absolute()
    sources = _third_party(image)
    with clear_errors(out), locked(out, lock_wait_s, say) as lock:
        plan, hashes = _prepare(image, out, sources)
        started_ns = time.time_ns()
        found = {u: objects.lookup(u, plan.compiler, hashes) for u in plan.units}
        if all(found.values()):
            done = _unchanged(plan, found, started)
            if done is not None:
                return done
        toolchain.preflight()
        _place(plan, found)
        failed = None
        try:
            _compile_and_link(plan, found, progress, lock)
        except BuildError as e:
            failed = e
        # What did compile is kept, whatever else failed; but nothing of an interrupted run.
        fresh = [u for u, path in found.items() if path is None]
        found |= {u: _keep(plan, u, hashes, started_ns) for u in fresh}
        if failed is not None:
            raise failed
        return _finish(plan, found, started)


def source_folders(image: Image, out: Path) -> Mapping[str, Path]:
    """Where the sources are, by the first part of their names in the debug information."""
    return units.tree(image, out.absolute(), _third_party(image)).roots


def _third_party(image: Image) -> dict[str, Path]:
    """Name -> folder of the sources that the image needs; all missing ones in one error."""
    names = {name for c, _ in units.components(image) for name in c.third_party}
    pins = third_party.load() if names else {}
    wanted = tuple(pins[name] for name in sorted(names))
    if any(third_party.locate(w) is None for w in wanted):
        toolchain.preflight(wanted)
    return {w.name: third_party.require(w) for w in wanted}


def _prepare(image: Image, out: Path, sources: Mapping[str, Path]) -> tuple[_Plan, Hashes]:
    """Write the generated files and gather what is to be compiled."""
    native = units.is_native(image)
    compiler = toolchain.host_compiler() if native else toolchain.cross_compiler()
    folders = dict(sources)
    zig = toolchain.zig()
    if zig is not None:
        folders["zig"] = zig.parent
    tree = units.tree(image, out, folders)
    every = units.units(image)
    built_s = build_time() if has_tls(image) else 0
    build_id = _build_id(image, every, tree, compiler, built_s)
    generated = generate(image, build_id, built_s)
    for name, text in generated.files().items():
        write_changed(out / name, text.encode())
    return _Plan(image, out, tree, every, compiler, generated, build_id), Hashes(tree)


def _build_id(
    image: Image, every: Sequence[Unit], tree: Tree, compiler: Compiler, built_s: int
) -> str:
    """16 hex digits of a hash over all input: generated text, sources, headers, flags."""
    hashes = Hashes(tree)
    files = {u.source for u in every if not u.source.startswith("generated/")}
    for folder in {f for u in every for f in u.includes} - {"generated", "firmware"}:
        files |= _headers(tree, folder)
    for component, _ in units.components(image):
        files |= _headers(tree, f"firmware/{component.name}")
    for driver in image.drivers:
        files |= _headers(tree, f"drivers/{driver.name}")
    if image.gateway.service:
        files |= {f"service/{p.name}" for p in tree.real("service/.").glob("*.h")}
    total = hashlib.sha256()
    for name, text in sorted(generate(image, built_s=built_s).files().items()):
        total.update(f"{name} {hashlib.sha256(text.encode()).hexdigest()}\n".encode())
    for name in sorted(files):
        total.update(f"{name} {hashes.of(name)}\n".encode())
    flags = [(u.source, u.flags, u.includes) for u in every]
    total.update(json.dumps([compiler.identity, _linker_options(image), flags]).encode())
    return total.hexdigest()[:16]


def _headers(tree: Tree, folder: str) -> set[str]:
    real = tree.real(folder)
    return {f"{folder}/{p.relative_to(real).as_posix()}" for p in real.rglob("*.h")}


def _unchanged(
    plan: _Plan, found: Mapping[Unit, Path | None], started: float
) -> BuildResult | None:
    """The result of the last build here if it would be the same now."""
    try:
        record = json.loads((plan.out / RECORD).read_text())
        same = record["link_key"] == _link_key(plan, found)
        if not same or _sha256(plan.out / IMAGE) != record["sha256"]:
            return None
        if not (plan.out / DEBUG).is_file():
            return None
        sizes = size.from_json(record["sizes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _result(plan, record["sha256"], sizes, started, cached=True)


def _link_key(plan: _Plan, found: Mapping[Unit, Path | None]) -> str:
    """A hash over all that the linker reads. Objects are named by their content's hash."""
    names = [(u.object, path.name if path else "") for u, path in found.items()]
    budgets = {part: dict(b) for part, b in units.budgets(plan.image).items()}
    options = _linker_options(plan.image)
    value = [names, plan.generated.link_ld, options, plan.compiler.identity, budgets]
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _place(plan: _Plan, found: Mapping[Unit, Path | None]) -> None:
    """Put cached objects under their own names into a fresh folder: the map shows these names."""
    shutil.rmtree(plan.out / "obj", ignore_errors=True)
    for folder in {(plan.out / u.object).parent for u in found}:
        folder.mkdir(parents=True, exist_ok=True)
    for unit, path in found.items():
        if path is not None:
            shutil.copyfile(path, plan.out / unit.object)


def _compile_and_link(
    plan: _Plan, found: Mapping[Unit, Path | None], progress: Progress, lock: int
) -> None:
    edges = [
        Edge("compile", u.source, u.object, (), _compile(plan, u))
        for u, path in found.items()
        if path is None
    ]
    inputs = tuple(u.object for u in plan.units)
    edges.append(Edge("link", IMAGE, f"{DEBUG}.new", inputs, _link(plan, inputs)))
    run_ninja(edges, plan.out, progress, lock)


def _compile(plan: _Plan, unit: Unit) -> list[str]:
    """The command for one unit; paths of this machine are mapped away in all that it writes."""
    # The names that debug information gets are the logical ones: `size` reads them there.
    maps = [f"-ffile-prefix-map={folder}={name}" for name, folder in plan.tree.roots.items()]
    sanitize = []
    if units.is_native(plan.image) and plan.compiler.sanitizers:
        sanitize = [f"-fsanitize={plan.compiler.sanitizers}"]
    includes = [f"-I{plan.tree.real(folder)}" for folder in unit.includes]
    files = ["-MD", "-MF", str(Path(unit.object).with_suffix(".d")), "-c"]
    source = str(plan.tree.real(unit.source))
    command = [*plan.compiler.command, *sanitize, *unit.flags, *maps, *includes]
    return [*command, *files, source, "-o", unit.object]


def _link(plan: _Plan, inputs: Sequence[str]) -> list[str]:
    output = ["-o", f"{DEBUG}.new"]
    if units.is_native(plan.image):
        sanitize = [f"-fsanitize={plan.compiler.sanitizers}"] if plan.compiler.sanitizers else []
        command = [*plan.compiler.command, "-g", *sanitize, *_linker_options(plan.image)]
        return [*command, *inputs, *output]
    options = ["--gc-sections", "--fatal-warnings", "--build-id=none", "-T", "link.ld"]
    return [
        *toolchain.linker(),
        *_linker_options(plan.image),
        *options,
        f"-Map={MAP}.new",
        *inputs,
        *output,
    ]


def _linker_options(image: Image) -> tuple[str, ...]:
    if units.is_native(image):
        return NATIVE_LINK
    return (*LTO_OPTIONS, *image.arch.linker, *image.cpu.linker)


def _keep(plan: _Plan, unit: Unit, hashes: Hashes, started_ns: int) -> Path | None:
    """Take a compiled unit into the cache; None if it did not compile."""
    path = plan.out / unit.object
    if not path.is_file() or not path.with_suffix(".d").is_file():
        return None
    return objects.store(unit, plan.compiler, hashes, path, started_ns)


def _finish(plan: _Plan, found: Mapping[Unit, Path | None], started: float) -> BuildResult:
    """Pack, measure, hold against the budgets, and make it the folder's result."""
    out = plan.out
    linked = (out / f"{DEBUG}.new").read_bytes()
    program = elf.read(linked, DEBUG)
    native = units.is_native(plan.image)
    map_text = "" if native else (out / f"{MAP}.new").read_text()
    owners = units.owners(plan.image, plan.units)
    budgets = {} if native else units.budgets(plan.image)
    found_in = origins(b"" if native else linked)
    sizes = size.measure(map_text, program, owners, budgets, found_in, _previous(out))
    size.check_budgets(sizes, units.covered(plan.image))
    image = linked if native else elf.pack(program)
    write_atomic(out / IMAGE, image, 0o755)
    if "flash" in plan.image.board.memory:
        write_atomic(out / FLAT, elf.flat(program))
    (out / f"{DEBUG}.new").replace(out / DEBUG)
    if not native:
        (out / f"{MAP}.new").replace(out / MAP)
    sha256 = hashlib.sha256(image).hexdigest()
    result = _result(plan, sha256, sizes, started, cached=False)
    # A unit that could not be cached leaves "" in the key, so that no later build matches it.
    key = _link_key(plan, found) if all(found.values()) else ""
    record = result.to_json() | {"link_key": key, "sizes": sizes.to_json()}
    del record["seconds"], record["cached"]
    write_atomic(out / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    return result


def _previous(out: Path) -> size.Sizes | None:
    try:
        return size.from_json(json.loads((out / RECORD).read_text())["sizes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _result(
    plan: _Plan, sha256: str, sizes: size.Sizes, started: float, *, cached: bool
) -> BuildResult:
    return BuildResult(
        board=plan.image.board.name,
        image=plan.out / IMAGE,
        debug=plan.out / DEBUG,
        sha256=sha256,
        flash_bytes=sizes.flash,
        ram_bytes=sizes.ram,
        stack_bytes=sizes.stack,
        seconds=time.monotonic() - started,
        cached=cached,
        build_id=plan.build_id,
        sizes=sizes,
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
