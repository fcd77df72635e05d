"""What can be known of the images and the compose file without a container engine: they name what exists, and agree."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from genima_ros.cli.main import find_verbs
from genima_ros.graph import graph

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
MANUAL = (DOCKER / "README.md").read_text()
GRAPHS = [name for name, service in SERVICES.items() if service["command"][:2] == ["genima", "up"]]
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
FROM_ELSEWHERE = {
    "franka_msgs": "its own stage builds it",
    "easy_handeye2": "apt does not have it for Jazzy",
}
"""Packages of package.xml that the image does not take from apt."""


def instructions() -> Iterator[tuple[str, str]]:
    """Keyword and arguments of each instruction of the Dockerfile."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        keyword, _, arguments = line.strip().partition(" ")
        if keyword:
            yield keyword, " ".join(arguments.split())


def arguments_of(keyword: str) -> list[str]:
    return [arguments for name, arguments in instructions() if name == keyword]


def stages() -> dict[str, str]:
    """Name to what the stage builds on."""
    return {name: base for base, name in (arguments.split(" AS ") for arguments in arguments_of("FROM"))}


def build_arguments() -> dict[str, str]:
    return dict(argument.split("=", 1) for argument in arguments_of("ARG"))


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps this file, or a folder it lies in, out of the build."""
    parts = path.split("/")
    prefixes = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if any(re.fullmatch(pattern, prefix) for prefix in prefixes):
                return True
    return False


def expand(text: str, values: dict[str, str] | None = None) -> str:
    """What compose makes of ``${NAME:-default}``."""
    return VARIABLE.sub(lambda match: (values or {}).get(match[1]) or match[2] or "", text)


def command_of(service: str, values: dict[str, str] | None = None) -> list[str]:
    return [expand(word, values) for word in SERVICES[service]["command"]]


def strings(node: object) -> Iterator[str]:
    """Every text in a YAML tree."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from (*strings(key), *strings(value))
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    elif isinstance(node, str):
        yield node


def constraints() -> dict[str, str]:
    return dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as docker/README.md asks for, as the working folder."""
    shutil.copy(ROOT / "config" / "cameras.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "hadolint --config docker/hadolint.yaml docker/Dockerfile",
        "shellcheck docker/entrypoint.sh",
        "check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml",
    ],
)
def test_linters_find_nothing(command):
    program, *arguments = command.split()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if (found := shutil.which(program, path=path)) is None:
        pytest.skip(f"{program} is not installed; extra dev of setup.cfg has it: make env")
    result = subprocess.run([found, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert command in MANUAL


def test_versions_are_those_of_the_project():
    makefile = (ROOT / "Makefile").read_text()
    torch = re.search(r"^TORCH \?= torch==(\S+)", makefile, flags=re.MULTILINE)[1]
    assert build_arguments()["TORCH_VERSION"] == constraints()["torch"] == torch
    # No other version of a Python package: all come through `make env`, which reads constraints.txt.
    runs = " ".join(arguments_of("RUN"))
    assert re.findall(r"([\w-]+)==", runs) == ["torch"]
    assert "pip install" not in runs
    assert "-c constraints.txt" in makefile


def test_the_base_is_the_ros_that_the_wheels_are():
    (distro,) = {name.split("-")[1] for name in constraints() if name.startswith("ros-jazzy-")}
    assert stages()["system"] == f"ros:{distro}-ros-base-noble"
    assert all(base == "ros:jazzy-ros-base-noble" or base in stages() for base in stages().values())


def test_apt_brings_what_package_xml_names():
    packages = {
        word
        for arguments in arguments_of("RUN")
        for word in shlex.split(arguments)
        if "apt-get" in arguments and word.startswith("ros-")
    }
    named = {e.text for e in ElementTree.parse(ROOT / "package.xml").getroot().findall("exec_depend")}
    of_python = {name for name in named if name.startswith("python3-")}
    assert of_python <= set(" ".join(arguments_of("RUN")).split())
    expected = (named - set(FROM_ELSEWHERE) - of_python) | {"rmw_fastrtps_cpp"}
    assert packages == {f"ros-jazzy-{name.replace('_', '-')}" for name in expected}
    assert set(FROM_ELSEWHERE) <= named
    middleware = {service["environment"]["RMW_IMPLEMENTATION"] for service in SERVICES.values()}
    assert middleware == {"rmw_fastrtps_cpp"}


def test_apt_brings_the_libraries_that_continuous_integration_needs():
    needed = re.search(r"packages=\((.*)\)", (ROOT / ".ci" / "run").read_text())[1].split()
    only_for_tests = {"chromium"}  # which Ubuntu has only as a snap
    assert set(needed) - only_for_tests <= set(" ".join(arguments_of("RUN")).split())


def test_what_is_copied_exists_and_is_not_ignored():
    copied = [arguments.split() for arguments in arguments_of("COPY")]
    for *options, source, _ in copied:
        if origin := next((o.removeprefix("--from=") for o in options if o.startswith("--from=")), ""):
            assert origin in stages()
            assert source in " ".join(arguments_of("RUN")), f"stage {origin} makes no {source}"
        else:
            assert (ROOT / source).exists() and (source == "." or not ignored(source))


def test_the_build_gets_every_file_of_the_project():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    left_out = {name for name in filter(None, names) if ignored(name)}
    assert {name.split("/")[0] for name in left_out} <= {".github", "docker"}
    assert {name for name in left_out if name.startswith("docker/")} <= {"docker/cell/.gitignore"}


@pytest.mark.parametrize(
    "path",
    [
        ".git/HEAD",
        ".venv/bin/python",
        "genima_ros/__pycache__/cli.cpython-312.pyc",
        "__pycache__/x.pyc",
        "runs/demo/a",
        "docker/cell/rig.json",
        "docker/.env",
    ],
)
def test_what_belongs_to_one_machine_stays_out_of_the_image(path):
    assert ignored(path)


def test_the_entrypoint_starts_what_the_image_has():
    (entrypoint,) = arguments_of("ENTRYPOINT")
    (path,) = yaml.safe_load(entrypoint)
    script = ROOT / Path(path).relative_to("/opt/genima")
    assert os.access(script, os.X_OK)
    made = " ".join(text for _, text in instructions()) + " /opt/ros/${ROS_DISTRO} "
    for found in re.findall(r"/opt/(?:ros/\$\{ROS_DISTRO\}|\w+)", script.read_text()):
        assert found in made, f"the Dockerfile makes no {found}"
    (default,) = arguments_of("CMD")
    assert yaml.safe_load(default)[0] == "genima" and yaml.safe_load(default)[1] in find_verbs()


@pytest.mark.parametrize("service", GRAPHS)
def test_each_service_starts_a_graph(service, cell):
    """By the graph itself: its arguments, its arm, its parameter files and camera nodes."""
    mode, texts = graph.split_words(command_of(service)[2:])
    processes = graph.processes(mode, graph.parse_arguments(mode, texts))
    names = {process.name for process in processes}
    assert "streamer" in names
    assert "camera_wrist" in names or "sim" in names


def test_the_services_start_every_graph():
    assert {graph.split_words(command_of(service)[2:])[0] for service in GRAPHS} == {
        "sim",
        "teleop_sim",
        "real",
        "teleop_real",
    }


@pytest.mark.parametrize("service", GRAPHS)
def test_an_arm_that_does_not_exist_is_refused(service, cell):
    mode, texts = graph.split_words(command_of(service, {"GENIMA_ARM": "fr4"})[2:])
    if "real" not in mode:
        pytest.skip("simulated arms have no file to choose")
    with pytest.raises(FileNotFoundError, match="no arm 'fr4'; valid are"):
        graph.processes(mode, graph.parse_arguments(mode, texts))


@pytest.mark.parametrize("service", SERVICES)
def test_services_are_built_from_stages_that_exist(service):
    build = SERVICES[service]["build"]
    assert build["target"] in stages()
    assert (DOCKER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert set(build["args"]) <= set(build_arguments())
    assert SERVICES[service]["image"] == f"genima:{build['target']}"


@pytest.mark.parametrize("service", SERVICES)
def test_services_have_the_folders_and_devices_they_need(service):
    volumes = [
        volume if isinstance(volume, dict) else dict(zip(("source", "target"), volume.split(":"), strict=False))
        for volume in SERVICES[service]["volumes"]
    ]
    mounted = {volume["target"]: expand(volume["source"]) for volume in volumes}
    assert (DOCKER / mounted["/cell"]).is_dir() and SERVICES[service]["working_dir"] == "/cell"
    assert all(source.startswith("/") for target, source in mounted.items() if target != "/cell")
    # Cameras need the device files and the permission; simulated cells get neither.
    real = "real" in service or service == "tools"
    assert ("/dev" in mounted) == ("device_cgroup_rules" in SERVICES[service]) == real
    assert ("deploy" in SERVICES[service]) == (SERVICES[service]["build"]["target"] == "cuda")


@pytest.mark.parametrize("service", SERVICES)
def test_nodes_of_all_services_hear_each_other(service):
    assert (SERVICES[service]["network_mode"], SERVICES[service]["ipc"]) == ("host", "host")
    environment = {name: expand(value) for name, value in SERVICES[service]["environment"].items()}
    assert (environment["ROS_DOMAIN_ID"], environment["ROS_AUTOMATIC_DISCOVERY_RANGE"]) == ("0", "LOCALHOST")


def test_nothing_starts_by_itself():
    assert all(len(service["profiles"]) == 1 for service in SERVICES.values())
    assert {service["restart"] for service in SERVICES.values()} == {"no"}


def test_the_manual_names_every_variable():
    variables = {match[1] for text in strings(COMPOSE) for match in VARIABLE.finditer(text)}
    assert variables == set(re.findall(r"^\| `(\w+)`", MANUAL, flags=re.MULTILINE))


def test_the_manual_names_profiles_and_services_that_exist():
    profiles = {profile for service in SERVICES.values() for profile in service["profiles"]}
    blocks = re.findall(r"^```sh\n(.*?)^```", MANUAL, flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("docker compose ")]
    assert commands
    for words in commands:
        options, verb, rest = compose_words(words[2:])
        assert options.get("--profile", "sim") in profiles
        assert verb in ("build", "run", "exec", "up")
        _, service, command = compose_words(rest)
        assert verb == "up" or service in SERVICES
        if command[:1] == ["genima"]:
            assert {command[1], " ".join(command[1:3])} & set(find_verbs())


def test_the_manual_names_build_arguments_and_tools_that_exist():
    assert set(re.findall(r"--build-arg (\w+)=", MANUAL)) <= set(build_arguments())
    for path in re.findall(r"(?:docker|config)/[\w./-]+\.\w+", MANUAL):
        assert (ROOT / path).exists() or path == "docker/.env", path


def compose_words(words: list[str]) -> tuple[dict[str, str], str, list[str]]:
    """Options with a value, then the first word that is none, then what follows it."""
    options = {}
    while words and words[0].startswith("-"):
        if words[0] == "--rm":
            words = words[1:]
        elif words[0] in ("-e", "-v", "--user", "--profile", "--build-arg"):
            options[words[0]], words = words[1], words[2:]
        else:
            raise AssertionError(f"{words[0]}: no option that this test knows")
    return options, *((words[0], words[1:]) if words else ("", []))
