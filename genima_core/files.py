"""Files: those of others read within bounds, ours written whole or not at all; errors are ValueError or OSError."""

import errno
import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import yaml

MAX_JSON_BYTES, MAX_YAML_BYTES = 16 << 20, 1 << 20
MAX_DEPTH = 64
MAX_YAML_NODES = 100_000
"""Aliases counted as often as they are used."""
MAX_YAML_SCALAR = 100_000
"""Characters of one value."""
FULL_BYTES = 1 << 20
"""A disk with less free space is full."""
_NAME = re.compile(r"[A-Za-z0-9_]+")
_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DEMO = Path("checkpoints/demo")


def check_name(name: str, what: str) -> str:
    """The name of a camera, a task or an arm, which becomes part of paths and topics; ValueError for other letters."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{what} is called {str(name)[:80]!r}; a name is made of letters, digits and underscores")
    return name


def check_regular(path: Path) -> Path:
    """FileNotFoundError where there is nothing, ValueError for a folder, a pipe or a device."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if not path.is_file():
        raise ValueError(f"{path} is not a regular file")
    return path


def read_text(path: Path, most_bytes: int = MAX_JSON_BYTES) -> str:
    """FileNotFoundError, ValueError: no such file; not a regular one, larger than `most_bytes`, or not text."""
    with check_regular(Path(path)).open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"{path} is larger than {most_bytes / 1e6:.1f} MB, the most that is read of such a file")
    with explained(f"{path} is damaged: it is not UTF-8 text"):
        return data.decode()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; see `read_text` and `parse_json`."""
    return parse_json(read_text(path), str(path))


def parse_json(text: str, what: str) -> dict[str, Any]:
    """The JSON object in a text; ValueError, which names `what`, where it is too long, too deep or something else."""
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{what} has {len(text)} characters; the most is {MAX_JSON_BYTES}")
    with explained(f"{what} is damaged", (ValueError, RecursionError)):
        value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{what} is damaged: it is not a JSON object")
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner = chain.from_iterable(parent.values() if isinstance(parent, dict) else parent for parent in level)
        level = [part for part in inner if isinstance(part, dict | list)]
    if level:
        raise ValueError(f"{what} is damaged: it is nested more than {MAX_DEPTH} levels deep")
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """The YAML mapping from texts in a file, empty where the file is; see `read_text` and `parse_yaml`."""
    value = parse_yaml(read_text(path, MAX_YAML_BYTES), str(path))
    value = {} if value is None else value
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{path} must hold names with values (name: value)")
    return value


def parse_yaml(text: str, what: str) -> Any:
    """What a YAML text says, nothing of it executed; ValueError, which names `what`: no YAML, too deep, too much."""
    kinds = yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError
    with explained(f"{what} is not YAML that can be read", kinds):
        _check_yaml(text)
        return yaml.load(text, _YAML_LOADER)


def _check_yaml(text: str) -> None:
    """Bounds what composing and constructing will cost, from the events, which cost no more than the text is long."""
    count, open_nodes, sizes = 0, [], {}  # type: int, list[tuple[str | None, int]], dict[str, int]
    for event in yaml.parse(text, _YAML_LOADER):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias *{event.anchor} refers to nothing, or to itself")
            count += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if len(event.value) > MAX_YAML_SCALAR:
                raise ValueError(f"a value has {len(event.value)} characters; the most is {MAX_YAML_SCALAR}")
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if count > MAX_YAML_NODES or len(open_nodes) > MAX_DEPTH:
            raise ValueError(f"it has more than {MAX_YAML_NODES} values, or is nested deeper than {MAX_DEPTH} levels")


def one_line(error: BaseException, longest: int = 300) -> str:
    """What an error says, in one line of so many characters at most."""
    return " ".join(str(error).split())[:longest] or type(error).__name__


@contextmanager
def explained(
    what: str, kinds: type[Exception] | tuple[type[Exception], ...] = ValueError, remedy: str = ""
) -> Iterator[None]:
    """A ValueError that says of what it is, and what to do, in place of errors of these kinds."""
    try:
        yield
    except kinds as error:
        raise ValueError(f"{what}: {one_line(error, 1000)}{remedy and f'; {remedy}'}") from error


def write_json(path: Path | None, content: Mapping[str, Any], indent: int | None = 2) -> None:
    """Writes JSON that a reader sees whole, or sees what was there before; nothing where `path` is None."""
    if path is not None:
        write_text(path, json.dumps(content, indent=indent, default=np.ndarray.tolist) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file that a reader sees whole, or sees what was there before, down to the disk."""
    with replaced_file(Path(path)) as temporary:
        temporary.write_text(text)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path`, down to the disk, when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Brings a file, or the names of a folder's files, down to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replaced_folder(path: Path, mark: str, parts: Collection[str], what: str) -> Iterator[Path]:
    """An empty folder to write into, which takes the place of `path` when all went well; OSError, also for a full disk.
    FileExistsError, which calls it `what`, unless an older one holds the file `mark` and nothing but `parts`.
    """
    path = Path(os.path.abspath(path))
    check_replaceable(path, mark, parts, what)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (path.with_name(f".{path.name}.{ending}") for ending in ("partial", "old"))
    for leftover in (temporary, old):  # of a process that was killed; nobody else makes such names
        if leftover.exists():
            shutil.rmtree(leftover)  # refuses links
    temporary.mkdir()
    try:
        with telling_full_disk(path.parent):
            yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)


def check_replaceable(path: Path, mark: str, parts: Collection[str], what: str) -> None:
    """FileExistsError where `path` is there and is not a folder of ours; see `replaced_folder`."""
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir() or not (path / mark).is_file():
        raise FileExistsError(f"{path} exists and is not {what}: name a new folder, or remove it")
    if foreign := sorted(entry.name for entry in path.iterdir() if entry.name not in parts):
        raise FileExistsError(f"{path}, {what}, also holds {', '.join(foreign[:3])}: move that away, or name another")


@contextmanager
def telling_full_disk(folder: Path) -> Iterator[None]:
    """An OSError that says so where a disk is full; libraries say "unexpected pos" and the like."""
    try:
        yield
    except Exception as error:
        errors: list[BaseException] = [error]
        while (earlier := errors[-1].__cause__ or errors[-1].__context__) is not None:
            errors.append(earlier)
        told = any((isinstance(e, OSError) and e.errno == errno.ENOSPC) or "os error 28" in str(e) for e in errors)
        if told or shutil.disk_usage(folder).free < FULL_BYTES:
            full = f"the disk of {folder} is full: make space and start again; what was there before is kept"
            raise OSError(errno.ENOSPC, full) from error
        raise


def check_complete(folder: Path, parts: Iterable[str], otherwise: str) -> None:
    """FileNotFoundError: a folder of weights lacks one of its parts; the message begins with `otherwise`."""
    for part in parts:
        if not (folder / part).exists():
            raise FileNotFoundError(f"{folder} {otherwise} {part} is missing; {restore(folder)}")


@contextmanager
def told_as_damage(folder: Path) -> Iterator[None]:
    """For reading a folder of weights: ValueError with the remedy in place of the errors of safetensors, json, torch
    and diffusers; FileNotFoundError stays.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {one_line(error)}"
        raise ValueError(f"{folder} is damaged ({why}); {restore(folder)}") from error


def restore(folder: Path | str) -> str:
    """How to get a folder of weights back, or what is in it."""
    if any(part.parts[-2:] == DEMO.parts for part in (Path(folder), *Path(folder).parents)):
        return f"`git checkout -- {DEMO}` restores the shipped one, `make demo-checkpoint` trains it again"
    return f"copy {folder} again from where it was made, or use the shipped {DEMO}"
