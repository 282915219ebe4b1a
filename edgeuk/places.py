"""Where the keys and values of a TOML file stand, found with tree-sitter's TOML grammar."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter
import tree_sitter_toml

from edgeuk.errors import Place

Key = tuple[str | int, ...]  # ("sensor", 0, "name"); () is the whole file


@dataclass(frozen=True, slots=True)
class Span:
    """Where a key and its value stand."""

    key: Place
    value: Place


def find_spans(text: str) -> Iterator[tuple[Key, Span]]:
    """The places of all keys and values of a text that is sound TOML."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
    raw = text.encode()
    lines = raw.split(b"\n")
    root = parser.parse(raw).root_node
    counts: dict[Key, int] = {}

    def place(node: tree_sitter.Node) -> Place:
        row, start = node.start_point.row, node.start_point.column
        line = lines[row]
        end = node.end_point.column if node.end_point.row == row else len(line)
        text = line[start:end].decode(errors="replace").rstrip()
        column = len(line[:start].decode(errors="replace")) + 1
        return Place(row + 1, column, max(1, len(text)))

    def whole(parts: tuple[str, ...]) -> Key:
        """A header's name as a full key: arrays of tables on the way mean their last element."""
        key: Key = ()
        for part in parts:
            key = (*key, part)
            if key in counts:
                key = (*key, counts[key])
        return key

    def pair(node: tree_sitter.Node, base: Key) -> Iterator[tuple[Key, Span]]:
        if len(node.children) < 3:
            return
        name = node.children[0]
        named = (c for c in node.children[2:] if c.is_named and c.type != "comment")
        value = next(named, name)
        here, there = place(name), place(value)
        key = base
        parts = _names(name)
        for part in parts[:-1]:
            key = (*key, part)
            yield key, Span(here, there)
        key = (*key, *parts[-1:])
        yield key, Span(here, there)
        yield from inside(value, key)

    def inside(value: tree_sitter.Node, key: Key) -> Iterator[tuple[Key, Span]]:
        if value.type == "inline_table":
            for child in value.children:
                if child.type == "pair":
                    yield from pair(child, key)
        elif value.type == "array":
            items = [c for c in value.named_children if c.type != "comment"]
            for index, item in enumerate(items):
                yield (*key, index), Span(place(item), place(item))
                yield from inside(item, (*key, index))

    for node in root.children:
        if node.type == "pair":
            yield from pair(node, ())
        elif node.type in ("table", "table_array_element"):
            header = node.named_children[0]
            parts = _names(header)
            if node.type == "table":
                key = whole(parts)
            else:
                *outer, last = parts
                plain = (*whole(tuple(outer)), last)
                counts[plain] = counts.get(plain, -1) + 1
                here = place(header)
                yield plain, Span(here, here)
                key = (*plain, counts[plain])
            here = place(header)
            for length in range(1, len(key)):
                yield key[:length], Span(here, here)
            yield key, Span(here, here)
            for child in node.children:
                if child.type == "pair":
                    yield from pair(child, key)


def _names(node: tree_sitter.Node) -> tuple[str, ...]:
    """The parts of a key: `a."b.c".d` has three."""
    if node.type == "dotted_key":
        return tuple(part for child in node.named_children for part in _names(child))
    text = (node.text or b"").decode(errors="replace")
    if node.type == "quoted_key":
        try:
            return (next(iter(tomllib.loads(f"{text} = 0"))),)
        except tomllib.TOMLDecodeError:
            return (text,)
    return (text,)
