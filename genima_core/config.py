"""A frozen dataclass from what ROS or YAML say of it: fields are the names, their defaults the values. Without ROS."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def from_overrides(kind: type[T], overrides: Mapping[str, Any], owner: str) -> T:
    """A dataclass from its defaults and overrides as ROS or YAML deliver them.

    Raises:
        ValueError: unknown name, missing value, or a value of another type.
    """
    hints = get_type_hints(kind)
    valid = {field.name: field for field in fields(kind)}
    unknown = sorted(set(overrides) - set(valid))
    if unknown:
        raise ValueError(f"{owner} has no parameter {', '.join(unknown)}; valid are {', '.join(valid)}")
    missing = [name for name, field in valid.items() if name not in overrides and not _has_default(field)]
    if missing:
        raise ValueError(f"{owner} needs a value for parameter {', '.join(missing)}")
    return kind(
        **{name: _from_ros(value, hints[name], f"parameter {name} of {owner}") for name, value in overrides.items()}
    )


def _has_default(field: Field) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def choices_of(hint: Any) -> tuple[str, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def _from_ros(value: Any, hint: Any, what: str) -> Any:
    if get_origin(hint) in (Union, UnionType):
        inner = [option for option in get_args(hint) if option is not type(None)]
        return None if value in (None, "") else _from_ros(value, inner[0], what)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"{what} is {value!r}; valid are {', '.join(map(repr, get_args(hint)))}")
        return value
    if get_origin(hint) is tuple:
        if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
            raise ValueError(f"{what} is {value!r}; it needs a list")
        items = () if list(value) == [""] else value  # in ROS a list has at least one item
        return tuple(_from_ros(item, get_args(hint)[0], what) for item in items)
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ValueError(f"{what} is {value!r}; it needs a mapping")
        return from_overrides(hint, value, what)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)  # "10" in YAML or on a command line means 10.0
    if hint in (bool, int, float, str) and type(value) is hint:
        return value
    raise ValueError(f"{what} is {value!r} ({type(value).__name__}); it needs a {getattr(hint, '__name__', hint)}")
