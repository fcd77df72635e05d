"""What the documents tell people to type, to open and to expect exists."""

import ast
import functools
import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genima_core.arm_status import ADVICE
from genima_core.data.bags.episode_info import folder_of
from genima_core.sim.perturbations import PERTURBATIONS
from genima_core.sim.task import make_task, task_names
from genima_ros.cli.main import Verb, find_verbs
from genima_ros.cli.terminal import arguments
from genima_ros.graph import graph
from genima_ros.graph.modes import MODES
from genima_ros.messages import interfaces

ROOT = Path(__file__).parents[1]
HARDWARE, TROUBLESHOOTING = ROOT / "docs" / "hardware.md", ROOT / "docs" / "troubleshooting.md"
TASKS = ROOT / "docs" / "tasks.md"
README = ROOT / "README.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "docker" / "README.md"])
DOCUMENTS.remove(ROOT / "CHANGELOG.md")  # what older versions understood
SOURCES = sorted(p for folder in ("genima_core", "genima_ros") for p in (ROOT / folder).rglob("*.py"))
PATH = re.compile(r"(?<![\w./])(?:docs|config|docker|checkpoints|launch|tests)(?:/[\w.-]+)*/[\w-]+\.\w+")
ARGUMENT = re.compile(r"([a-z_]+):=")
VARIES = "…"
VERBS = find_verbs()
ANYTHING = ("...", VARIES)
"""Stand for arguments that a document leaves out."""
pytestmark = pytest.mark.ros  # interfaces


def blocks(text: str, language: str = "sh|bash") -> str:
    """The lines of its code blocks, those that end with a backslash joined."""
    found = re.findall(rf"^```(?:{language})\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(found).replace("\\\n", " ")


def inline(text: str) -> list[str]:
    """What is set as code within its lines."""
    prose = re.sub(r"^```\w*.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose)]


def code(document: Path) -> list[str]:
    """Every command line or name that a document sets as code, in blocks and within its lines."""
    text = document.read_text()
    return [*blocks(text).splitlines(), *inline(text)]


def commands(lines: list[str]) -> Iterator[list[str]]:
    """What follows `genima` on these lines."""
    for line in lines:
        for command in re.split(r"&&|;", re.split(r" +# ", line)[0]):
            if found := re.search(r"(?:^|\s|bin/)genima (.*)", command):
                yield shlex.split(found[1].replace("\\|", "|"))


def verb_of(words: list[str]) -> Verb | None:
    return VERBS.get(" ".join(words[:2])) or VERBS.get(words[0])


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


def errors(document: Path) -> list[str]:
    """First columns of the tables of messages."""
    tables = document.read_text().split("| message | cause |")[1:]
    rows = "\n".join(table.partition("\n\n")[0] for table in tables)
    return re.findall(r"^\| `([^`]+)`", rows, flags=re.MULTILINE)


@pytest.fixture
def parse_only(monkeypatch):
    """Verbs read their arguments, and do nothing."""
    parse = arguments.call
    monkeypatch.setattr(
        arguments, "call", lambda function, *rest: parse(functools.wraps(function)(lambda *a, **k: 0), *rest)
    )


def understand(words: list[str]) -> None:
    """Lets the verb's own parser read these words.

    Raises:
        SystemExit, ValueError: it does not understand them.
    """
    verb = verb_of(words)
    assert verb, words
    rest = words[len(verb.name.split()) :]
    if {"--help", *ANYTHING} & set(rest):
        return
    assert verb.call(rest) == 0, words
    if verb.name == "up":
        graph.parse_arguments(*graph.split_words([word for word in rest if not word.startswith("-")]))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
@pytest.mark.usefixtures("parse_only")
def test_genima_understands_every_command(document):
    for words in commands(blocks(document.read_text()).splitlines()):
        understand(words)


@pytest.mark.usefixtures("parse_only")
def test_genima_understands_the_example_of_each_verb():
    files = {verb.file for verb in VERBS.values()}
    lines = [line for file in files for line in (ROOT / "genima_ros" / "cli" / f"{file}.py").read_text().splitlines()]
    examples = [line.partition("Example: ")[2] for line in lines if "Example: genima" in line]
    assert len(examples) >= len(VERBS)
    for words in commands(examples):
        understand(words)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_verb_that_is_named_exists(document):
    for words in commands(inline(document.read_text())):
        name, *rest = (word.strip(".,") for word in words)
        if name and not name.startswith(("-", "<")):
            group = {verb.partition(" ")[2] for verb in VERBS if verb.startswith(f"{name} ")}
            assert name in VERBS or (group and (not rest or set(rest[0].split("|")) <= group)), words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_and_python_find_what_is_named(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for line in blocks(document.read_text()).splitlines():
        for command in re.split(r"&&|;", line.split(" #")[0]):
            words = shlex.split(command)
            if words[:1] == ["make"]:
                named = [word for last, word in itertools.pairwise(words) if last != "-C"]
                assert {word for word in named if "=" not in word and not word.startswith("-")} <= targets, command
            elif words[:1] == ["python"]:
                assert (ROOT / words[1]).is_file(), command


def test_the_readme_begins_with_the_demo():
    assert "make demo" in README.read_text().partition("```sh\n")[2].partition("```")[0]


@pytest.mark.slow
def test_the_snippet_of_the_readme_runs():
    snippet = blocks(README.read_text(), "python")
    assert len(snippet.splitlines()) <= 12
    result = subprocess.run([sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.startswith("success after "), result.stdout + result.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_and_heading_that_is_named_exists(document):
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    own = {"docker/.env", "docker/cell", "checkpoints/mine", "checkpoints/push_button"}  # each user's
    assert not [path for path in set(PATH.findall(text)) - own if not (ROOT / path).exists()]
    for link in re.findall(r"\]\(([^)]+)\)", text):
        path, _, heading = link.partition("#")
        target = (document.parent / path) if path else document
        if "://" in link or not heading:
            assert "://" in link or target.exists(), link
            continue
        headings = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.MULTILINE)
        assert heading in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_module_that_is_named_exists(document):
    """Such as `engine.py`, in whatever folder of ours."""
    ours = {f"/{path.relative_to(ROOT)}" for path in (*ROOT.glob("*.py"), *ROOT.glob("[!.]*/**/*.py"))}
    named = {name for text in inline(document.read_text()) for name in re.findall(r"^[\w/]+\.py$", text)}
    assert not [name for name in named if not any(path.endswith(f"/{name}") for path in ours)]


def test_episodes_that_are_named_have_the_recorders_names():
    files = (*DOCUMENTS, *(ROOT / "genima_ros" / "cli").glob("*.py"), *(ROOT / "examples").glob("*.py"))
    texts = [path.read_text() for path in files]
    numbers = [number for text in texts for number in re.findall(r"episode_(\d+)", text)]
    assert {folder_of(ROOT, int(number)).name for number in numbers} == {f"episode_{number}" for number in numbers}


def test_services_of_our_nodes_exist():
    nodes = {node.name for mode in MODES.values() for node in mode.nodes}
    for document in DOCUMENTS:
        for line in code(document):
            for node, service, kind in re.findall(r"service call /(\w+)/(\w+)(?: std_srvs/srv/(\w+))?", line):
                if node in nodes:
                    assert service in interfaces.SERVICES, line
                    assert interfaces.SERVICES[service].type.__name__ == (kind or "Trigger"), line


def test_arguments_that_are_named_exist():
    known = {argument.name for mode in MODES.values() for argument in mode.arguments}
    for line in code(HARDWARE):
        if "launch.py" not in line and "--remap" not in line:  # others' launch files; topics
            assert set(ARGUMENT.findall(line)) <= known, line


@pytest.mark.parametrize("document", [HARDWARE, TROUBLESHOOTING], ids=lambda path: path.name)
def test_each_message_is_one_that_our_programs_print(document):
    """Searching a document for a message must find it, so a change of the message changes the document."""
    texts = list(messages())
    assert len(errors(document)) > 20
    for message in errors(document):
        parts = [part.strip() for part in message.split(VARIES) if len(part.strip()) > 3]
        assert parts
        for part in parts:
            assert any(part in text for text in texts), f"{message}: nothing prints {part!r}"


def test_the_errors_of_the_arm_are_those_that_the_monitor_explains():
    table = HARDWARE.read_text().partition("| error of the arm |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.partition(" | ")[0])]
    assert len(named) == len(set(named)) and set(named) == set(ADVICE)


def rows(document: Path, header: str) -> list[tuple[str, ...]]:
    """Of the table whose header begins so, each a tuple of its cells."""
    _, found, rest = document.read_text().partition(f"\n{header}")
    assert found, header
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def test_the_table_of_tasks_says_what_the_tasks_say():
    tasks = map(make_task, task_names())
    expected = [(f"`{t.name}`", t.instructions[0], ", ".join(t.variations), t.goal) for t in tasks]
    assert [row[:4] for row in rows(TASKS, "| task | instruction |")] == expected


def test_the_table_of_perturbations_says_what_they_change():
    table = {row[1]: row[2] for row in rows(TASKS, "| | perturbation |")}
    expected = {f"`{name}`": kind.summary for name, kind in PERTURBATIONS.items()}
    assert table == {"": "nothing", **expected, "`all`": "all of these together"}


@pytest.mark.parametrize(
    ("folder", "names"), [("tasks", task_names()), ("perturbations", ("none", *PERTURBATIONS, "all"))]
)
def test_each_task_and_perturbation_has_one_small_picture(folder, names):
    shown = re.findall(rf"!\[(\w+)\]\({folder}/(\w+)\.png\)", TASKS.read_text())
    assert shown == [(name, name) for name in names]
    files = {path.stem: path.stat().st_size for path in (TASKS.parent / folder).iterdir()}
    assert set(files) == set(names), f"make them: genima tasks --pictures {TASKS.parent.name}"
    assert max(files.values()) < 60_000


def test_what_was_never_tried_is_marked():
    """Every command that a driver of somebody else's must answer stands in a step that says so."""
    text = HARDWARE.read_text()
    assert text.index("**[hardware]** marks") < text.index("## 1.")
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        if re.search(r"franka_bringup|/enable|genima cameras|genima recover|homing", blocks(section)):
            assert "**[hardware]**" in section, section.splitlines()[0]
