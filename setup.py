"""What setup.cfg cannot say: the files that make the distribution a ROS package (ament_python)."""

from pathlib import Path

from setuptools import Distribution, setup

PACKAGE = "genima_ros"
SHARED = ("launch", "config", "checkpoints/demo")

EXECUTABLE = """\
#!/bin/sh
# Uses the interpreter of the prefix it is installed in (pip, in a virtual environment), else the one on PATH (colcon).
python="$(dirname "$0")/../../bin/python3"
[ -x "$python" ] || python=python3
# Ctrl-C ends it without a traceback, until the node itself takes care of that.
exec "$python" -c "import runpy, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); \\
runpy.run_module('{package}.nodes', run_name='__main__', alter_sys=True)" {node} "$@"
"""


class RosDistribution(Distribution):
    """Installs data files and the nodes' executables with every way to install: pip, pip -e, colcon, its symlinks."""

    def has_data(self) -> bool:
        """What setuptools asks for with ``pip install -e``, but never defines."""
        return self.has_data_files()

    def run_command(self, command: str) -> None:
        super().run_command(command)
        if command in ("install_data", "symlink_data"):  # setuptools' and colcon's
            write_executables(Path(self.get_command_obj(command).install_dir) / "lib" / PACKAGE)


def write_executables(folder: Path) -> None:
    """One for each node, where ROS looks for it; pip installs console scripts only into bin/."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*_node"):
        old.unlink()
    for module in Path(PACKAGE, "nodes").glob("*_node.py"):
        path = folder / module.stem
        path.write_text(EXECUTABLE.format(package=PACKAGE, node=module.stem))
        path.chmod(0o755)


def shared_files() -> list[tuple[str, list[str]]]:
    """Each folder of the share folder with its files; links to folders are not followed, so none is found twice."""
    files: dict[str, list[str]] = {}
    for path in sorted(path for top in SHARED for path in Path(top).rglob("*")):
        if path.is_file() and path.parent.name != "__pycache__":
            files.setdefault(f"share/{PACKAGE}/{path.parent}", []).append(str(path))
    return list(files.items())


setup(
    distclass=RosDistribution,
    python_requires=">=3.11",  # not in setup.cfg, where it becomes an object that colcon cannot read
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *shared_files(),
    ],
)
