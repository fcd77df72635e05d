"""A frozen dataclass from what ROS, YAML or JSON say of it: fields are the names, their defaults the values. No ROS."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from reprlib import repr as short
from types import UnionType
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from genima_core.geometry import checked_numbers


class DataclassInstance(Protocol):
    """What `dataclasses.fields` takes."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


T = TypeVar("T", bound=DataclassInstance)
V = TypeVar("V")


def from_overrides(kind: type[T], overrides: Mapping[str, Any], owner: str, strict: bool = True) -> T:
    """A dataclass from defaults and what ROS, YAML or JSON say; ValueError: missing, mistyped, unknown if `strict`."""
    if not isinstance(overrides, Mapping):
        raise ValueError(f"{owner} is {short(overrides)}; it needs names with values")
    hints = _hints(kind)
    valid = {field.name: field for field in fields(kind)}
    unknown = sorted(str(name)[:80] for name in overrides if name not in valid)
    if unknown and strict:
        raise ValueError(f"{owner} has no parameter {', '.join(unknown[:10])}; valid are {', '.join(valid)}")
    needed = [name for name, f in valid.items() if f.default is MISSING and f.default_factory is MISSING]
    missing = [name for name in needed if name not in overrides]
    if missing:
        raise ValueError(f"{owner} needs a value for parameter {', '.join(missing)}")
    known = {name: value for name, value in overrides.items() if name in valid}
    return kind(**{name: _typed(value, hints[name], f"{name} of {owner}", strict) for name, value in known.items()})


def check_positive(config: object, names: str) -> None:
    """ValueError for the first of the fields, named in one text with blanks between, not above zero and finite."""
    for name in names.split():
        if not 0 < getattr(config, name) < math.inf:
            raise ValueError(f"{name} is {getattr(config, name)}; it must be positive")


def check_within(config: object, lowest: float, highest: float, names: str) -> None:
    """ValueError for the first of the fields, named as for `check_positive`, that is outside."""
    for name in names.split():
        if not lowest <= getattr(config, name) <= highest:
            raise ValueError(f"{name} is {getattr(config, name)}; it must be in [{lowest:g}, {highest:g}]")


def pick(table: Mapping[Any, V], name: object, what: str) -> V:
    """The value of a name that somebody gave; ValueError for an unknown one."""
    if name not in table:
        raise ValueError(f"{what} is {short(name)}; valid are {', '.join(map(str, table))}")
    return table[name]


def given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def flat(values: Mapping[str, Any], separator: str, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, whose names tell the way there."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, Mapping)
        result |= flat(value, separator, f"{prefix}{name}{separator}") if inner else {prefix + name: value}
    return result


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def choices_of(hint: Any) -> tuple[str, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def _typed(value: Any, hint: Any, what: str, strict: bool) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in (Any, object):
        return value
    if origin in (Union, UnionType):
        inner = [option for option in arguments if option is not type(None)]
        return None if value is None or (value == "" and str not in inner) else _typed(value, inner[0], what, strict)
    if origin is Literal:
        if not isinstance(value, str | int) or value not in arguments:
            raise ValueError(f"{what} is {short(value)}; valid are {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        return _typed_items(value, arguments, what, strict)
    if origin in (Mapping, dict):
        if not isinstance(value, Mapping):
            raise ValueError(f"{what} is {short(value)}; it needs names with values")
        return {
            _typed(name, arguments[0], what, strict): _typed(item, arguments[1], f"{short(name)} in {what}", strict)
            for name, item in value.items()
        }
    if hint is np.ndarray:
        return checked_numbers(value, None, what)
    if isinstance(hint, type) and is_dataclass(hint):
        return value if isinstance(value, hint) else from_overrides(hint, value, what, strict)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and type(value) in (int, float):
        number = float(value) if abs(value) < 1e300 else math.nan  # "10" in YAML or on a command line means 10.0
        if not math.isfinite(number):
            raise ValueError(f"{what} is {short(value)}; it needs a finite number")
        return number
    if hint in (bool, int, float, str) and type(value) is hint:
        return value
    raise ValueError(f"{what} is {short(value)} ({type(value).__name__}); it needs a {getattr(hint, '__name__', hint)}")


def _typed_items(value: Any, hints: tuple[Any, ...], what: str, strict: bool) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__"):
        raise ValueError(f"{what} is {short(value)}; it needs a list")
    if len(hints) == 2 and hints[1] is Ellipsis:
        items = () if list(value) == [""] else value  # in ROS a list has at least one item
        return tuple(_typed(item, hints[0], what, strict) for item in items)
    if len(value) != len(hints):
        raise ValueError(f"{what} is {short(value)}; it needs {len(hints)} values")
    return tuple(_typed(item, hint, what, strict) for item, hint in zip(value, hints, strict=True))
