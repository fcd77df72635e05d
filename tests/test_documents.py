"""What docs/hardware.md and docker/README.md tell people to type, to open and to expect is what is there."""

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from genima_core.arm_status import ADVICE
from genima_ros.cli import main as cli
from genima_ros.graph import graph
from genima_ros.graph.modes import MODES
from genima_ros.messages import interfaces

ROOT = Path(__file__).parents[1]
HARDWARE = ROOT / "docs" / "hardware.md"
MANUALS = [HARDWARE, ROOT / "docker" / "README.md"]
SOURCES = sorted(p for folder in ("genima_core", "genima_ros") for p in (ROOT / folder).rglob("*.py"))
PATH = re.compile(r"(?<![\w./])(?:docs|config|docker|checkpoints|launch|tests)(?:/[\w.-]+)*/[\w-]+\.\w+")
ARGUMENT = re.compile(r"([a-z_]+):=")
VARIES = "…"
pytestmark = pytest.mark.ros  # interfaces


def blocks(text: str) -> str:
    """The lines of its code blocks, those that end with a backslash joined."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)).replace("\\\n", " ")


def code(document: Path) -> list[str]:
    """Every command line or name that a document sets as code, in blocks and within its lines."""
    text = document.read_text()
    prose = re.sub(r"^```sh\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*blocks(text).splitlines(), *(" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose))]


def commands(document: Path, program: str) -> list[list[str]]:
    """Words of each command line of a program."""
    lines = [re.split(r" +# ", line)[0] for line in code(document) if f"{program} " in line]
    return [shlex.split(line[line.index(f"{program} ") :]) for line in lines if re.search(rf"(^|[ /]){program} ", line)]


def messages() -> Iterator[str]:
    """Every text in the sources; what varies in it is `VARIES`."""
    for path in SOURCES:
        parts = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts |= set(map(id, node.values))
                yield "".join(v.value if isinstance(v, ast.Constant) else VARIES for v in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                yield node.value


def errors() -> list[str]:
    """First column of the table of messages."""
    table = HARDWARE.read_text().partition("| message | cause |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `([^`]+)`", table, flags=re.MULTILINE)


@pytest.mark.parametrize("document", MANUALS, ids=lambda path: path.name)
def test_genima_understands_every_command(document):
    found = [words for words in commands(document, "genima") if words[1] in {v.split()[0] for v in cli.VERBS}]
    assert found
    for words in found:
        verb, rest = cli.split_verb(words[1:])
        if verb not in cli.VERBS:  # `genima calibrate`: the name of a group
            assert not rest and any(name.startswith(f"{verb} ") for name in cli.VERBS), words
            continue
        if not rest and len(words) == 2:  # named, not written out
            continue
        function = cli.load(cli.VERBS[verb][0])
        assert cli.call(functools.wraps(function)(lambda *a, **k: 0), verb, rest) == 0, words
        if verb == "up":
            mode, arguments = graph.split_words(rest)
            graph.parse_arguments(mode, arguments)


@pytest.mark.parametrize("document", MANUALS, ids=lambda path: path.name)
def test_every_verb_that_is_named_exists(document):
    named = set(re.findall(r"`genima ([a-z]+)[ `]", document.read_text()))
    assert named <= {name.split()[0] for name in cli.VERBS}


@pytest.mark.parametrize("document", MANUALS, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(document):
    text = document.read_text()
    paths = {path for path in PATH.findall(text) if path != "docker/.env"}  # each user's own
    assert paths
    assert not [path for path in paths if not (ROOT / path).exists()]
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        path, _, heading = link.partition("#")
        target = (document.parent / path) if path else document
        assert target.is_file(), link
        headings = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.MULTILINE)
        assert not heading or heading in {h.lower().replace(" ", "-") for h in headings}, link


def test_services_of_our_nodes_exist():
    ours = {
        name.removeprefix("~/")
        for service in vars(interfaces).values()
        if isinstance(service, interfaces.Service)
        for name in [service.name]
    }
    nodes = {node.name for mode in MODES.values() for node in mode.nodes}
    called = re.findall(r"(?:service call |`)/(\w+)/(\w+)", HARDWARE.read_text())
    assert len(called) > 5
    for node, service in called:
        if node in nodes:
            assert service in ours, f"/{node}/{service}"
    types = {
        service.name.removeprefix("~/"): service.type.__name__
        for service in vars(interfaces).values()
        if isinstance(service, interfaces.Service)
    }
    for name, kind in re.findall(r"service call /\w+/(\w+) std_srvs/srv/(\w+)", HARDWARE.read_text()):
        assert types[name] == kind


def test_arguments_that_are_named_exist():
    known = {argument.name for mode in MODES.values() for argument in mode.arguments}
    for line in code(HARDWARE):
        if "launch.py" not in line and "--remap" not in line:  # others' launch files; topics
            assert set(ARGUMENT.findall(line)) <= known, line


def test_each_message_is_one_that_our_programs_print():
    """Only then does who searches for it find it; whoever changes a message changes the manual."""
    texts = list(messages())
    assert len(errors()) > 25
    for message in errors():
        parts = [part.strip() for part in message.split(VARIES) if len(part.strip()) > 3]
        assert parts
        for part in parts:
            assert any(part in text for text in texts), f"{message}: nothing prints {part!r}"


def test_the_errors_of_the_arm_are_those_that_the_monitor_explains():
    table = HARDWARE.read_text().partition("| error of the arm |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.partition(" | ")[0])]
    assert len(named) == len(set(named)) and set(named) == set(ADVICE)


def test_what_was_never_tried_is_marked():
    """Every command that a driver of somebody else's must answer stands in a step that says so."""
    text = HARDWARE.read_text()
    assert text.index("**[hardware]** marks") < text.index("## 1.")
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        if re.search(r"franka_bringup|/enable|genima cameras|genima recover|homing", blocks(section)):
            assert "**[hardware]**" in section, section.splitlines()[0]
