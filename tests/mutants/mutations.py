"""What becomes of a file: emptied, cut, changed here and there, given other types, numbers and depths, or replaced."""

import json
import os
import random
import struct
import zlib
from functools import cache
from pathlib import Path

import yaml

ODD = (
    None,
    True,
    "",
    "x",
    "../../../../../escaped",
    "{0}",
    "\x00",
    0,
    -1,
    1e308,
    float("nan"),
    float("inf"),
    10**12,
    10**400,
    [],
    {},
    [None],
    ["x"] * 50,
    {"x": {"y": 1}},
    "9" * 5000,
)
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i}\n  <<: [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
TEXTS = (
    "[]",
    "{}",
    "null",
    "1",
    '"x"',
    "[" * 100_000,
    '{"a":' * 5000,
    "!!int ''",
    "!!python/name:os.system",
    LAUGHS,
    MERGES,
)


@cache
def huge_png(side_px: int = 20_000) -> bytes:
    """A whole picture of one colour in some kB, which fills a gigabyte when it is decoded."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(b"\0" * (side_px * 3 + 1)) for _ in range(side_px)) + rows.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def mutate(path: Path, rng: random.Random) -> str:
    """Changes a file in one way, and says in which."""
    text = path.suffix in (".json", ".yaml", ".calib")
    kinds = ["empty", "cut", "flip", "noise", "repeat", "pipe", "folder", "zero", "text", "huge picture"]
    kind = rng.choice(kinds + ["value"] * 24 if text else kinds + ["flip"] * 12)
    data = path.read_bytes()
    if kind == "value":
        return _change_value(path, rng)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "text":
        path.write_text(rng.choice(TEXTS))
    elif kind == "huge picture":
        path.write_bytes(huge_png())
    else:
        path.write_bytes(_bytes(data, kind, rng))
    return kind


def _bytes(data: bytes, kind: str, rng: random.Random) -> bytes:
    if kind == "empty" or not data:
        return b""
    at = rng.randrange(len(data))
    if kind == "cut":
        return data[:at]
    if kind == "noise":
        return data[:at] + rng.randbytes(rng.choice([1, 16, 300])) + data[at:]
    if kind == "repeat":
        return data[:at] + data[at : at + 200] * 3 + data[at:]
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 30])):
        changed[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return bytes(changed)


def _change_value(path: Path, rng: random.Random) -> str:
    """Another value, or none, somewhere in a JSON or YAML file."""
    is_json = path.suffix == ".json"
    content = json.loads(path.read_text()) if is_json else yaml.safe_load(path.read_text())
    places: list[tuple[dict | list, str | int]] = []
    open_parts: list[object] = [content]
    while open_parts:
        part = open_parts.pop()
        for key in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
            places.append((part, key))
            open_parts.append(part[key])
    if not places:
        path.write_text("")
        return "empty"
    part, key = rng.choice(places)
    if isinstance(part, dict) and rng.random() < 0.15:
        del part[key]
        said = f"{key} deleted"
    else:
        value = rng.choice(ODD)
        part[key] = value
        said = f"{key} = {str(value)[:30]!r}"
    path.write_text(json.dumps(content) if is_json else yaml.safe_dump(content))
    return said
