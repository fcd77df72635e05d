"""Where config/, launch/ and the demo checkpoint are found: never those of another installation."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def installed(prefix: Path) -> Path:
    """The share folder of an installation."""
    share = prefix / "share" / "genima_ros"
    (share / "config").mkdir(parents=True)
    (share / "package.xml").touch()
    return share


def share_module(path: Path):
    """genima_ros/share.py as it would run from there."""
    spec = importlib.util.spec_from_file_location("share_of_a_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """share.py in site-packages, away from any source tree."""
    monkeypatch.setattr("sys.prefix", str(tmp_path / "venv"))
    path = tmp_path / "venv" / "lib" / "genima_ros" / "share.py"
    path.parent.mkdir(parents=True)
    path.write_text((ROOT / "genima_ros" / "share.py").read_text())
    return path


def test_the_first_prefix_of_ros_that_has_the_package_wins_over_the_environment(copy, tmp_path, monkeypatch):
    """As where a workspace is built and sourced beside `make env`."""
    for name in ("venv", "workspace", "underlay"):
        installed(tmp_path / name)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}/ros:{tmp_path}/workspace:{tmp_path}/underlay")
    assert share_module(copy).share_folder() == tmp_path / "workspace" / "share" / "genima_ros"
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}/ros")
    assert share_module(copy).share_folder() == tmp_path / "venv" / "share" / "genima_ros"


def test_a_link_into_a_source_tree_finds_that(tmp_path, monkeypatch):
    """As `colcon build --symlink-install` makes them."""
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    installed(tmp_path)
    link = tmp_path / "build" / "genima_ros"
    link.parent.mkdir()
    link.symlink_to(ROOT / "genima_ros")
    share = share_module(link / "share.py")
    assert share.share_folder() == ROOT
    monkeypatch.chdir(tmp_path)
    assert share.find_checkpoint(share.DEMO_CHECKPOINT) == ROOT / "checkpoints" / "demo"


def test_a_checkpoint_of_ones_own_comes_first(tmp_path, monkeypatch):
    share = share_module(ROOT / "genima_ros" / "share.py")
    monkeypatch.chdir(tmp_path)
    Path("checkpoints/demo").mkdir(parents=True)
    assert share.find_checkpoint("checkpoints/demo") == tmp_path / "checkpoints" / "demo"
    assert share.find_checkpoint("/nowhere/mine") == Path("/nowhere/mine")


def test_none_is_an_error_that_says_where_it_looked(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "ros"))
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/ros.*pip install"):
        share_module(copy).share_folder()
