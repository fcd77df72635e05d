"""`genima bag info` and `genima bag repair`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from genima_core.data.bags.meter import quality_of_bag
from genima_core.data.bags.quality import QualityBounds, suspect
from genima_core.data.bags.reader import find_bags, open_bag
from genima_core.files import write_json


def info(path: tyro.conf.Positional[Path], json: Path | None = None) -> int:
    """Shows what recorded episodes contain, and whether they are complete.

    Exit status 1 if one needs repair or cannot be read.

    Example: genima bag info recordings/push_button

    Args:
        path: A bag's folder, or a folder of them.
        json: File for the same as JSON.
    """
    bags = _found(path)
    described = [describe(folder) for folder in bags]
    console = Console()
    if bags == [Path(path)]:
        _show_one(described[0], console)
    else:
        _show_many(described, console)
    write_json(json, {"bags": described})
    broken = [row for row in described if row["state"] in ("interrupted", "damaged")]
    lost = [row for row in described if row["state"] == "unreadable"]
    if broken:
        console.print(f"{len(broken)} interrupted or damaged; to repair: genima bag repair {path}", highlight=False)
    if lost:
        text = f"{len(lost)} without a message that can be read: remove the folder, or record it again"
        console.print(text, highlight=False)
    return 1 if broken or lost or any(row["state"] == "no bag" for row in described) else 0


def repair(path: tyro.conf.Positional[Path]) -> int:
    """Repairs recordings that were cut off.

    A killed recorder or a full disk does that; complete recordings are left alone. A repaired one is measured like a
    new episode, and stays suspect: its end is missing. Exit status 1 if nothing could be read from one of them.

    Example: genima bag repair recordings/push_button

    Args:
        path: A bag's folder, or a folder of them.
    """
    from genima_core.data.bags import writer as core

    status = 0
    for folder in _found(path):
        try:
            result = core.repair(folder)
        except (ValueError, FileNotFoundError) as error:
            print(f"{folder.name}: {error}")
            status = 1
            continue
        _judge(folder, result.changed)
        done = f"written again, {result.messages} messages" if result.changed else "nothing"
        print(f"{folder.name}: {done}" + (f"; not readable: {result.damage}" if result.damage else ""))
    return status


def _judge(folder: Path, changed: bool) -> None:
    """Measures a recording of ours that was mended, or whose recorder died before; what was against it before stays."""
    bag = open_bag(folder)
    try:
        info = bag.info
    except ValueError:  # `info` tells
        return
    if info is not None and (changed or not info.quality):
        quality = quality_of_bag(bag, info)
        reasons = dict.fromkeys((*info.suspect, *suspect(quality, QualityBounds())))
        replace(info, quality=quality.to_dict(), suspect=tuple(reasons)).save(folder)


def describe(folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"folder": str(folder), "name": folder.name, "state": "damaged", "problem": ""}
    row |= {"duration_s": 0.0, "size_bytes": 0, "topics": {}, "info": None}
    try:
        bag = open_bag(folder)
        row |= {"size_bytes": sum(path.stat().st_size for path in bag.files), "duration_s": bag.duration_s}
        for name, topic in bag.topics.items():
            rate_hz = topic.count / max(bag.duration_s, 1e-9) if topic.count > 1 else 0.0
            row["topics"][name] = {"type": topic.type, "count": topic.count, "rate_hz": rate_hz}
        row["problem"] = bag.flaw() or bag.damage
        if bag.being_recorded:
            row["state"] = "recording"
        elif (row["problem"] or not bag.finished) and next(bag.messages(), None) is None:
            row["state"] = "unreadable"
        elif not bag.finished:
            row["state"] = "interrupted"
        elif not row["problem"]:
            row["state"] = "finished"
    except ValueError as error:
        return row | {"problem": str(error)}
    except FileNotFoundError as error:
        return row | {"problem": str(error), "state": "no bag"}
    try:
        if (info := bag.info) is not None:
            shown = ("task", "instruction", "label", "suspect", "seed", "begun_at", "quality")
            row["info"] = {name: getattr(info, name) for name in shown}
    except ValueError as error:  # the messages are whole, and repair mends only those
        problems = [row["problem"], f"{error}; without the file it is read as a foreign bag"]
        row["problem"] = "; ".join(filter(None, problems))
    return row


def _found(path: Path) -> list[Path]:
    if path.is_file():
        raise ValueError(f"{path} is a file; a bag is a folder: give {path.parent}")
    bags = find_bags(path)
    if not bags:
        raise FileNotFoundError(f"there is no bag in {path}; give the folder of an episode, or one that holds episodes")
    return bags


def _show_one(row: dict, console: Console) -> None:
    info: dict = row["info"] or {}
    lines = [
        ("bag", row["folder"]),
        ("state", row["state"] + (f": {row['problem']}" if row["problem"] else "")),
        ("length", f"{row['duration_s']:.1f} s, {row['size_bytes'] / 1e6:.1f} MB"),
    ]
    if info:
        lines += [
            ("task", f"{info['task']}: {info['instruction']}"),
            ("label", info["label"] or "none"),
            ("suspect", "; ".join(info["suspect"]) or "no"),
            ("begun", info["begun_at"]),
        ]
        for name, value in info["quality"].items():
            if not isinstance(value, dict):
                lines.append((name, f"{value:.2f}" if isinstance(value, float) else str(value)))
    for name, value in lines:
        console.print(f"{name:<24}{value}", highlight=False, markup=False)
    table = Table("topic", "type", "messages", "Hz", box=None)
    for name, topic in row["topics"].items():
        table.add_row(name, topic["type"], str(topic["count"]), f"{topic['rate_hz']:.1f}" if topic["rate_hz"] else "")
    console.print(table)


def _show_many(rows: list[dict], console: Console) -> None:
    table = Table("episode", "length", "MB", "state", "label", "task", "suspect", box=None)
    for row in rows:
        info: dict = row["info"] or {}
        table.add_row(
            row["name"],
            f"{row['duration_s']:.1f} s",
            f"{row['size_bytes'] / 1e6:.1f}",
            row["state"],
            info.get("label", ""),
            info.get("task", ""),
            "; ".join(info.get("suspect", ())) or row["problem"],
        )
    console.print(table)


VERBS = (info, repair)
