"""ROS parameters from a frozen dataclass: its fields are the names, its values the defaults.

A node that calls `declare_dataclass` must be created with ``automatically_declare_parameters_from_overrides=True``
(`run.NODE_OPTIONS`): only then can names that do not exist be told from names that do.
"""

from collections.abc import Container, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

T = TypeVar("T")

_OF_RCLPY = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def declare_dataclass(node: Node, kind: type[T], changeable: Container[str] = ()) -> T:
    """Declares each field as a parameter and returns the dataclass with the overridden values.

    All are read-only but those in `changeable`.

    Fields may be bool, int, float, str, Path, Literal of strings, or tuple[...] of these; Path and Literal are
    strings on the ROS side, "" is None where a field may be None.

    Raises:
        ValueError: an override has an unknown name (the message lists the valid ones) or a value of another type.
    """
    names = [field.name for field in fields(kind)]
    given = [name for name in node.get_parameters_by_prefix("") if not name.startswith(_OF_RCLPY)]
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(f"node {node.get_name()} has no parameter {', '.join(unknown)}; valid are {', '.join(names)}")
    overrides = {name: node.get_parameter(name).value for name in given}
    config = from_overrides(kind, overrides, node.get_name())
    hints = get_type_hints(kind)
    for name in names:
        if name in overrides:
            node.undeclare_parameter(name)
        choices = _choices(hints[name])
        descriptor = ParameterDescriptor(read_only=name not in changeable, additional_constraints=(
            f"one of {', '.join(choices)}" if choices else ""))
        node.declare_parameter(name, _to_ros(getattr(config, name)), descriptor, ignore_override=True)
    return config


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
    return kind(**{name: _from_ros(value, hints[name], f"parameter {name} of {owner}")
                   for name, value in overrides.items()})


def _has_default(field: Field) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _choices(hint: Any) -> tuple[str, ...]:
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
        return tuple(_from_ros(item, get_args(hint)[0], what) for item in value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)  # "10" in YAML or on a command line means 10.0
    if hint in (bool, int, float, str) and type(value) is hint:
        return value
    raise ValueError(f"{what} is {value!r} ({type(value).__name__}); it needs a {getattr(hint, '__name__', hint)}")


def _to_ros(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return [_to_ros(item) for item in value]
    return str(value) if isinstance(value, Path) else value
