"""Message packages that no wheel brings, built from the definitions in tests/interfaces/."""

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

DEFINITIONS = Path(__file__).parents[1] / "interfaces"
KINDS = (".action", ".msg", ".srv")
GENERATORS = (
    "rosidl_generator_type_description",
    "rosidl_generator_c",
    "rosidl_typesupport_fastrtps_c",
    "rosidl_typesupport_c",
    "rosidl_generator_py",
)
"""Each needs those before it; Python asks for no more."""
_TYPE = re.compile(r"^([a-z][a-z0-9_]*)/\w+", re.MULTILINE)
LOG_LINES = 40

_CMAKE = """\
cmake_minimum_required(VERSION 3.16)
project({package})
foreach(name ament_cmake rosidl_cmake {generators} {dependencies})
  find_package(${{name}} REQUIRED)
endforeach()
# The wheels name include folders of the machine that built them.
get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
foreach(target IN LISTS targets)
  if(target MATCHES "__rosidl_generator_py$")
    set_target_properties(${{target}} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "")
  endif()
endforeach()
file(GLOB_RECURSE files RELATIVE "${{CMAKE_CURRENT_SOURCE_DIR}}" action/*.action msg/*.msg srv/*.srv)
rosidl_generate_interfaces(${{PROJECT_NAME}} ${{files}} DEPENDENCIES {dependencies})
"""
_PACKAGE = """\
<package format="3">
  <name>{package}</name><version>0.0.0</version><description>For tests.</description>
  <maintainer email="maintainers@example.com">The Genima maintainers</maintainer><license>Apache-2.0</license>
  <member_of_group>rosidl_interface_packages</member_of_group>
</package>
"""


def missing() -> list[Path]:
    """Folders of the definitions whose packages are not installed here: installed ones are used as they are."""
    return [
        folder
        for folder in sorted(DEFINITIONS.iterdir())
        if folder.is_dir() and importlib.util.find_spec(folder.name) is None
    ]


def obstacle() -> str:
    """What the machine lacks to build them; "" where it lacks nothing."""
    programs = [name for name in ("cmake", "make", "cc", "c++") if shutil.which(name) is None]
    if programs:
        return (
            f"message packages cannot be built: {', '.join(programs)} not found (apt-get install build-essential cmake)"
        )
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "message packages cannot be built: Python.h not found (apt-get install python3-dev)"
    prefixes = (os.environ.get("AMENT_PREFIX_PATH") or sys.prefix).split(":")
    if absent := [
        name
        for name in ("ament_cmake", *GENERATORS)
        if not any((Path(prefix) / "share" / name).is_dir() for prefix in prefixes)
    ]:
        return (
            f"message packages cannot be built: {', '.join(absent)} not found (make env, or apt-get install "
            "ros-jazzy-rosidl-default-generators)"
        )
    return ""


def prefix(packages: list[Path], cache: Path) -> Path:
    """Where these packages are, or will be, installed: one folder for each version of their sources."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for part in (sys.prefix, sys.version, *_ros_versions()):
        digest.update(part.encode())
    for path in definitions(packages):
        digest.update(str(path.relative_to(DEFINITIONS)).encode() + path.read_bytes())
    return cache / digest.hexdigest()[:16]


def build(packages: list[Path], folder: Path) -> None:
    """Installs the packages into `folder`, unless they are there; processes that build the same wait for each other.

    Raises:
        RuntimeError: a build failed; the message ends with its last lines.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = folder / "done"
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.is_file():
            return
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "build").mkdir(parents=True)
        for package in packages:
            _build_one(package, folder)
        shutil.rmtree(folder / "build")
        done.touch()


def provide() -> Path:
    """The prefix with the packages that are not installed here, built once a machine and loaded into this process.

    Raises:
        RuntimeError: they cannot be built.
    """
    if reason := obstacle():
        raise RuntimeError(reason)
    packages = missing()
    folder = prefix(packages, Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genima/interfaces")
    build(packages, folder)
    load(folder)
    return folder


def load(folder: Path) -> None:
    """Loads the libraries that the middleware opens by name: LD_LIBRARY_PATH is read when a process starts."""
    for path in sorted((folder / "lib").glob("*.so")):
        ctypes.CDLL(str(path))


def site_packages(folder: Path) -> Path:
    return folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def definitions(packages: list[Path]) -> list[Path]:
    return sorted(path for package in packages for path in package.rglob("*") if path.suffix in KINDS)


def dependencies(package: Path) -> list[str]:
    """Other packages that the definitions of one use."""
    paths = definitions([package])
    names = {name for path in paths for name in _TYPE.findall(path.read_text())} - {package.name}
    needed = {".action": "action_msgs", ".srv": "service_msgs"}
    return sorted(names | {needed[path.suffix] for path in paths if path.suffix in needed})


def _build_one(package: Path, folder: Path) -> None:
    source, build_folder = folder / "build" / package.name, folder / "build" / package.name / "build"
    shutil.copytree(package, source)
    (source / "CMakeLists.txt").write_text(
        _CMAKE.format(
            package=package.name, generators=" ".join(GENERATORS), dependencies=" ".join(dependencies(package))
        )
    )
    (source / "package.xml").write_text(_PACKAGE.format(package=package.name))
    prefixes = os.environ.get("AMENT_PREFIX_PATH") or sys.prefix
    environment = os.environ | {
        "AMENT_PREFIX_PATH": prefixes,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    found = prefixes.replace(":", ";")
    _run(
        [
            "cmake",
            "-S",
            str(source),
            "-B",
            str(build_folder),
            f"-DCMAKE_PREFIX_PATH={found}",
            f"-DCMAKE_INSTALL_PREFIX={folder}",
            "-DBUILD_TESTING=OFF",
            f"-DPython3_EXECUTABLE={sys.executable}",
            "-DCMAKE_C_FLAGS=-O0",
            "-DCMAKE_CXX_FLAGS=-O0",
            f"-DCMAKE_INSTALL_RPATH={folder / 'lib'}",
        ],
        environment,
    )
    jobs = len(os.sched_getaffinity(0))
    _run(["cmake", "--build", str(build_folder), "--target", "install", "--parallel", str(jobs)], environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-LOG_LINES:])
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{last}")


def _ros_versions() -> list[str]:
    """Of what the packages are built with."""
    return sorted(f"{found.name} {found.version}" for found in distributions() if "rosidl" in found.name)
