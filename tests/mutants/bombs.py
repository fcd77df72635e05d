"""Small files that claim, or unpack to, far more than memory holds, and what else a mutation seldom makes of a file."""

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import zstandard

from ..data import lerobot_source, synthetic
from .mutations import LAUGHS

HUGE, GIGABYTE, PIECE = 10**9, 1 << 30, bytes(1 << 20)
RLBENCH = f"convert rlbench {{0}} {{1}} --cameras {' '.join(synthetic.rig().names)}"
LEROBOT = f"convert lerobot {{0}}/set {{1}} --rig {{0}}/rig.json --cameras {lerobot_source.MAPPED}"
BAGS, SQLITE = "convert bags {0} {1}", "convert bags {0}/bag {1}"
AGENT, ROBOBASE = "convert agent {0}/agent {1} --base {0}/base", "convert controller {0} {1} --rig {0}/../rig/rig.json"
EVAL = "eval push_button --checkpoint {0}"
INSTALL = "calibrate install {0}/front.calib --rig {0}/../rig/rig.json"


@dataclass(frozen=True)
class Bomb:
    """What becomes of one of the sources, and the command that must refuse it."""

    source: str
    files: str
    """Pattern of the files that are changed."""
    change: Callable[[Path], object]
    command: str
    """After `genima`; {0} is the folder, {1} where results go."""
    said: str
    """In the line that refuses it."""


def png(side_px: int = 60_000) -> bytes:
    """A picture that is cut off behind its first pixels."""
    parts = (b"IHDR", struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(100)))
    chunks = [struct.pack(">I", len(b)) + kind + b + struct.pack(">I", zlib.crc32(kind + b)) for kind, b in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Changes what a JSON file holds."""

    def changed(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return changed


def linked(to: str) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        path.unlink()
        path.symlink_to(to)

    return link


class Foreign:
    """Pickles as a call that makes a folder."""

    def __reduce__(self) -> tuple:
        return Path.mkdir, (Path("escaped"),)


def claiming(path: Path) -> None:
    """A pickle whose arrays claim 10^9 rows; the numbers are those that were there."""
    path.write_bytes(path.read_bytes().replace(b"K\x07\x85", b"J" + struct.pack("<i", HUGE) + b"\x85"))


def deflated(path: Path) -> None:
    """torch.save's archive, compressed, whose numbers are a gigabyte of zeros."""
    stored = io.BytesIO()
    torch.save({"agent": {"weight": torch.zeros(1)}}, stored)
    with zipfile.ZipFile(stored) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in archive.namelist():
            if name.endswith("data/0"):
                with packed.open(name, "w", force_zip64=True) as file:
                    for _ in range(4 * GIGABYTE // len(PIECE)):
                        file.write(PIECE)
            else:
                packed.writestr(name, archive.read(name).replace(b"K\x01", b"J" + struct.pack("<i", GIGABYTE)))


def expanded(path: Path) -> None:
    """Weights of 10^9 numbers, all of them one and the same in memory."""
    payload = torch.load(path, weights_only=False, pickle_module=_Inert)
    name = "actor.actor_model.action_head.weight"
    payload["agent"][name] = torch.zeros(1).expand(8, HUGE)
    torch.save({"agent": payload["agent"]}, path)


class _Inert:
    """In place of the module pickle: what is unknown becomes nothing."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            return type(name, (), {}) if module.startswith("omegaconf") else super().find_class(module, name)

    load = staticmethod(pickle.load)


def repeated(path: Path) -> None:
    """A table of 100 million rows that takes some kB, because all are the same."""
    row = pq.read_table(path).slice(0, 1)
    row = row.select([name for name in row.column_names if name != layout_of_picture()])
    part = row
    for _ in range(6):
        part = pa.concat_tables([part] * 10).combine_chunks()
    with pq.ParquetWriter(path, row.schema, compression="zstd") as writer:
        for _ in range(100):
            writer.write_table(part)


def layout_of_picture() -> str:
    return f"observation.images.{lerobot_source.CAMERAS[-1]}"


def of_column(path: Path, name: str, value: object) -> None:
    table = pq.read_table(path)
    index = table.column_names.index(name)
    pq.write_table(table.set_column(index, name, pa.array([value] * len(table))), path)


def chunk(path: Path) -> None:
    """An MCAP file with one chunk, of 4 GB of zeros."""
    packer = zstandard.ZstdCompressor(level=1).compressobj(size=4 * GIGABYTE)
    data = b"".join(packer.compress(PIECE) for _ in range(4 * GIGABYTE // len(PIECE))) + packer.flush()
    head = struct.pack("<QQQI", 0, 1, 4 * GIGABYTE, 0) + struct.pack("<I", 4) + b"zstd"
    body = head + struct.pack("<Q", len(data)) + data
    path.write_bytes(b"\x89MCAP0\r\n" + b"\x06" + struct.pack("<Q", len(body)) + body)


def safetensors(length: int | None = None) -> bytes:
    """A tensor of 10^9 numbers in 16 bytes, in a header of this length."""
    tensor = {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}
    header = json.dumps({"conv_in.bias": tensor}).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(16)


def bombs() -> Iterator[tuple[str, Bomb]]:
    """With their names."""
    pkl, picture = "**/low_dim_obs.pkl", "**/wrist_rgb/2.png"
    for name, change, said in (
        ("a pickle with a foreign class", write(pickle.dumps([Foreign()])), "asks for pathlib"),
        ("half a pickle", cut, "low_dim_obs.pkl is damaged"),
        ("a pickle of text", write(b'{"rows": 1}'), "low_dim_obs.pkl is damaged"),
        ("a pickle that claims rows", claiming, "joint_positions"),
        ("a pickle that is a link to nothing", linked("../../../../../nothing"), "low_dim_obs.pkl"),
        ("a pickle that is a link to itself", linked("low_dim_obs.pkl"), "low_dim_obs.pkl"),
    ):
        yield name, Bomb("rlbench", pkl, change, RLBENCH, said)
    yield "a frame that claims 60000x60000", Bomb("rlbench", picture, write(png()), RLBENCH, "cannot be decoded")
    info, rows, episodes = "set/meta/info.json", "set/data/**/*.parquet", "set/meta/episodes/**/*.parquet"
    for name, files, change, said in (
        ("a feature that claims elements", info, edit(_shape), "a feature has shape"),
        ("a rate of 10^9", info, edit(lambda i: i.update(fps=HUGE)), f"fps is {HUGE}"),
        ("rows outside", info, edit(lambda i: i.update(data_path="../../x.parquet")), "not a path in a data set"),
        ("a table of a row a hundred million times", rows, repeated, "it claims 100000000 rows"),
        ("a table of text", rows, write(b"{}"), "is damaged"),
        ("half a table", rows, cut, "is damaged"),
        ("episodes of 10^9 rows", episodes, lambda p: of_column(p, "length", HUGE), f"says {HUGE}"),
        ("a film of text", "set/videos/**/*.mp4", write(b"a film"), "is damaged"),
        ("half a film", "set/videos/**/*.mp4", cut, "is damaged"),
    ):
        yield name, Bomb("lerobot", files, change, LEROBOT, said)
    yield "a chunk of 4 GB", Bomb("bag", "episode_*/*.mcap", chunk, BAGS, "could be converted: episode_0")
    yield "a database of text", Bomb("sqlite", "bag/*.db3", write(b"a database"), SQLITE, "database")
    yield "half a database", Bomb("sqlite", "bag/*.db3", cut, SQLITE, "database")
    weights = "agent/diffusion_pytorch_model.bin"
    for name, files, change, said in (
        ("weights that unpack to 4 GB", weights, deflated, "torch.save does not compress"),
        ("weights with a foreign class", weights, lambda p: torch.save({"a": Foreign()}, p), "is damaged"),
        ("a configuration of laughs", "agent/config.yaml", write(LAUGHS.encode()), "config.yaml is not YAML"),
        (
            "10^9 channels",
            "agent/config.json",
            edit(lambda c: c.update(block_out_channels=[HUGE])),
            "block_out_channels",
        ),
        ("safetensors of 10^9 numbers", "base/unet/*.safetensors", write(safetensors()), "is damaged"),
        ("an endless header", "base/unet/*.safetensors", write(safetensors(1 << 60)), "is damaged"),
    ):
        yield name, Bomb("released", files, change, AGENT, said)
    for name, files, change, said in (
        ("a snapshot that unpacks to 4 GB", "latest.pt", deflated, "torch.save does not compress"),
        ("a snapshot with a foreign class", "latest.pt", lambda p: torch.save({"agent": Foreign()}, p), "asks for"),
        ("a snapshot of repeated numbers", "latest.pt", expanded, "of another shape: actor.actor_model.action_head"),
        ("statistics of 10^9 numbers", "action_stats.json", edit(lambda s: s.update(mean=[1] * 10**6)), "mean in"),
    ):
        yield name, Bomb("robobase", files, change, ROBOBASE, said)
    sides = edit(lambda rig: rig["cameras"][0]["intrinsics"].update(width=HUGE))
    yield "a rig of 10^9 pixels", Bomb("checkpoint", "rig.json", sides, EVAL, "a size of 1 to")
    laughs = Bomb("calibration", "front.calib", write(LAUGHS.encode()), INSTALL, "front.calib")
    yield "a calibration of laughs", laughs
    tasks = Bomb("checkpoint", "checkpoint.json", edit(lambda c: c.update(tasks=HUGE)), EVAL, "tasks of")
    yield "a checkpoint whose tasks are a number", tasks


def _shape(info: dict) -> None:
    for feature in info["features"].values():
        feature.update(shape=[HUGE], names=None)


BOMBS = dict(bombs())
