"""What lands where when the project is installed."""

import ast
import configparser
import functools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

from genima_ros.graph import graph
from genima_ros.graph.modes import MODES

ROOT = Path(__file__).parents[1]
NODES = sorted(path.stem for path in (ROOT / "genima_ros" / "nodes").glob("*_node.py"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree as a fresh clone would have it once everything is committed: without what git ignores."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    target = tmp_path_factory.mktemp("clone")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


@pytest.fixture(scope="module")
def prefix(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the built wheel in it, and beside it what this environment has installed."""
    wheels = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(wheels)], cwd=clone, check=True)
    prefix = tmp_path_factory.mktemp("prefix")
    venv.create(prefix, symlinks=True)
    python = str(prefix / "bin" / "python")
    (wheel,) = wheels.glob("genima_ros-*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return prefix


@pytest.mark.slow
def test_the_share_folder_holds_what_ros_looks_for(prefix):
    share = prefix / "share" / "genima_ros"
    assert (prefix / "share" / "ament_index" / "resource_index" / "packages" / "genima_ros").is_file()
    assert (share / "package.xml").read_text() == (ROOT / "package.xml").read_text()
    for folder in ("launch", "config", "checkpoints/demo"):
        ours, installed = (
            {path.relative_to(top) for path in (top / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"}
            for top in (ROOT, share)
        )
        assert ours and installed == ours


@pytest.mark.slow
def test_the_installed_command_runs_without_the_source_tree(prefix, tmp_path):
    alone = {name: value for name, value in os.environ.items() if name != "AMENT_PREFIX_PATH"}  # rclpy's wheel sets it
    run = functools.partial(subprocess.run, cwd=tmp_path, env=alone, capture_output=True, text=True, check=True)
    assert run([prefix / "bin" / "genima", "--version"]).stdout.strip() == setup_cfg()["metadata"]["version"]
    code = """
import genima_ros.share as share
for path in (share.__file__, share.share_folder(), share.find_checkpoint("checkpoints/demo")):
    print(path)
"""
    module, share, checkpoint = map(Path, run([prefix / "bin" / "python", "-c", code]).stdout.splitlines())
    assert module.is_relative_to(prefix)
    assert share == prefix / "share" / "genima_ros"
    assert checkpoint == share / "checkpoints" / "demo"


@pytest.mark.slow
@pytest.mark.parametrize("node", NODES)
def test_ros_finds_an_executable_for_each_node(prefix, tmp_path, node):
    """Runs it with the program of the nodes replaced by one that only says how it was started."""
    package = tmp_path / "genima_ros" / "nodes"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys; print(sys.prefix, *sys.argv[1:])")
    result = subprocess.run(
        [prefix / "lib" / "genima_ros" / node, "--ros-args", "-r", "a:=b c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"{prefix} {node} --ros-args -r a:=b c"


LINKS = """
import os
from distutils.command.install_data import install_data
class symlink_data(install_data):
    def copy_file(self, source, target, **options):
        target = os.path.join(target, os.path.basename(source))
        os.symlink(os.path.abspath(source), target)
        return target, 1
"""
"""What colcon calls for `--symlink-install`, in place of setuptools' install_data."""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["pip -e", "colcon", "colcon --symlink-install"])
def test_every_way_to_install_makes_an_executable_for_each_node(clone, tmp_path, way):
    """Of those of a node that is no more, none stays."""
    folder = tmp_path / "lib" / "genima_ros"
    folder.mkdir(parents=True)
    (folder / "old_node").touch()
    run = functools.partial(subprocess.run, cwd=clone, check=True, capture_output=True)
    if way == "pip -e":
        run([sys.executable, "-c", f"import setuptools.build_meta as m; m.build_editable({str(tmp_path)!r})"])
        (wheel,) = tmp_path.glob("*.whl")
        shutil.unpack_archive(wheel, tmp_path / "wheel", "zip")
        modes = {Path(i.filename): i.external_attr >> 16 for i in zipfile.ZipFile(wheel).infolist()}
        made = {path.name: mode for path, mode in modes.items() if path.parts[-3:-1] == ("lib", "genima_ros")}
    else:
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "__init__.py").touch()
        (tmp_path / "links" / "symlink_data.py").write_text(LINKS)
        command = "install_data" if way == "colcon" else "symlink_data"
        options = ["--command-packages=links", command, f"--install-dir={tmp_path}"]
        run([sys.executable, "setup.py", "-q", *options], env={**os.environ, "PYTHONPATH": str(tmp_path)})
        made = {path.name: path.stat().st_mode for path in folder.iterdir()}
        assert (tmp_path / "share/genima_ros/config/sim.yaml").is_symlink() == (command == "symlink_data")
    assert set(made) == set(NODES) and all(mode & 0o111 for mode in made.values())


@pytest.mark.parametrize("node", NODES)
def test_each_file_of_nodes_holds_one_node(node):
    assert (ROOT / "genima_ros" / "nodes" / f"{node}.py").read_text().count("(GraphNode[") == 1


def test_the_graph_starts_executables_that_exist():
    started = {node.executable for mode in MODES.values() for node in mode.nodes}
    assert started <= set(NODES)


def test_package_xml_is_valid():
    """An odd e-mail address or version makes colcon take the folder for a plain Python package, without a word."""
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert (package.tag, package.get("format")) == ("package", "3")
    assert package.findtext("name") == setup_cfg()["metadata"]["name"] == graph.PACKAGE
    assert package.findtext("version") == setup_cfg()["metadata"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", package.findtext("version"))
    assert re.fullmatch(r"[-\w.+%]+@([-a-zA-Z0-9]+\.)+[a-zA-Z]{2,}", package.find("maintainer").get("email"))
    assert package.findtext("license") == setup_cfg()["metadata"]["license"]
    assert package.findtext("export/build_type") == "ament_python"
    assert package.findtext("description").strip()


def test_package_xml_names_every_ros_package_that_is_imported():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    named = {element.text for element in package.findall("exec_depend")}
    imported = set()
    for path in [*(ROOT / "genima_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
            )
            imported |= {name.partition(".")[0] for name in names}
    ros = {name for name in imported if re.fullmatch(r"rclpy|launch|launch_ros|tf2_ros|.*_(msgs|srvs)", name)}
    assert ros <= named


@pytest.mark.parametrize(
    ("variables", "venv_flags", "extras"),
    [
        ([], "", "sim,train,record,console,view,realsense,franka,ros,rosidl,dev,docs"),
        (["ROS_DISTRO=jazzy"], "--system-site-packages", "sim,train,record,console,view,realsense,franka,dev,docs"),
    ],
)
def test_make_env_takes_the_wheels_or_the_ros_that_is_sourced(tmp_path, variables, venv_flags, extras):
    command = ["make", "-n", "-B", "env", f"VENV={tmp_path}/venv", *variables]
    environment = {name: value for name, value in os.environ.items() if name not in ("ROS_DISTRO", "MAKEFLAGS")}
    lines = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert f"-m venv {venv_flags}".strip() in lines
    assert f".[{extras}]" in lines
    assert lines.index(" torch==") < lines.index("-c constraints.txt"), "torch comes first, from its own build"


def test_constraints_pin_what_is_required_exactly():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for extra in ("sim", "train", "record", "console", "view", "ros", "dev", "docs"):
        for line in setup_cfg()["options.extras_require"][extra].split():
            name = re.split(r"[=<>~!\[]", line)[0].lower()
            assert name in pinned, f"{name} of extra {extra} is not in constraints.txt"
    assert not any("+" in version for version in pinned.values()), "a local version is one machine's build"


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser
