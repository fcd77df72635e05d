"""ROS parameters from a frozen dataclass: its fields are the names, its values the defaults.

A node that calls `declare_dataclass` must be created with ``automatically_declare_parameters_from_overrides=True``
(`run.NODE_OPTIONS`): only then can names that do not exist be told from names that do.
"""

from collections.abc import Container
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from genima_core.config import DataclassInstance, choices_of, from_overrides

T = TypeVar("T", bound=DataclassInstance)

_OF_RCLPY = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def declare_dataclass(node: Node, kind: type[T], changeable: Container[str] = ()) -> T:
    """Declares each field as a parameter and returns the dataclass with the overridden values.

    All are read-only but those in `changeable`, which may be set to a value of any type: the node has to look at it
    ("1" on a command line is an integer and means 1.0).

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
        choices = choices_of(hints[name])
        descriptor = ParameterDescriptor(
            read_only=name not in changeable,
            dynamic_typing=name in changeable,
            additional_constraints=(f"one of {', '.join(choices)}" if choices else ""),
        )
        node.declare_parameter(name, _to_ros(getattr(config, name)), descriptor, ignore_override=True)
    return config


def _to_ros(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return [_to_ros(item) for item in value]
    return str(value) if isinstance(value, Path) else value
