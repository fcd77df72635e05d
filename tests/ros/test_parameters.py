from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pytest

pytest.importorskip("rclpy")

from rclpy.node import Node

from genima_core.config import from_overrides
from genima_ros.nodes.base import NODE_OPTIONS, declare_dataclass

pytestmark = pytest.mark.ros


@dataclass(frozen=True)
class Config:
    rate_hz: float = 10.0
    count: int = 3
    on: bool = True
    mode: Literal["slow", "fast"] = "slow"
    names: tuple[str, ...] = ("a", "b")
    folder: Path = Path("data")
    rig: Path | None = None


class ConfiguredNode(Node):
    def __init__(self, **options) -> None:
        super().__init__("configured", **NODE_OPTIONS, **options)
        self.config = declare_dataclass(self, Config)


def test_defaults_become_parameters(bench):
    node = bench.node(ConfiguredNode)
    assert node.config == Config()
    assert {field.name for field in fields(Config)} <= set(node.get_parameters_by_prefix(""))
    assert node.get_parameter("names").value == ["a", "b"]
    assert node.get_parameter("rig").value == ""


def test_overrides_reach_the_dataclass(bench):
    node = bench.node(
        ConfiguredNode, parameters={"rate_hz": 5, "mode": "fast", "names": ["c"], "folder": "/tmp", "rig": "rig.json"}
    )
    assert node.config == Config(5.0, mode="fast", names=("c",), folder=Path("/tmp"), rig=Path("rig.json"))
    assert node.get_parameter("rate_hz").value == 5.0


def test_parameters_are_read_only(bench):
    from rclpy.parameter import Parameter

    node = bench.node(ConfiguredNode)
    assert not node.set_parameters([Parameter("count", value=4)])[0].successful


def test_unknown_name_lists_the_valid_ones(bench):
    with pytest.raises(ValueError, match="no parameter rate; valid are rate_hz, count"):
        bench.node(ConfiguredNode, parameters={"rate": 5.0})


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"count": 3.5}, "count of node is 3.5 .float.; it needs a int"),
        ({"rate_hz": "fast"}, "rate_hz"),
        ({"on": 1}, "on"),
        ({"names": "a"}, "needs a list"),
        ({"mode": "medium"}, "'medium'; valid are 'slow', 'fast'"),
        ({"nothing": 1}, "valid are rate_hz"),
    ],
)
def test_wrong_values_are_named(overrides, words):
    with pytest.raises(ValueError, match=words):
        from_overrides(Config, overrides, "node")


@dataclass(frozen=True)
class Needy:
    task: str


def test_missing_value_is_named():
    with pytest.raises(ValueError, match="needs a value for parameter task"):
        from_overrides(Needy, {}, "node")
