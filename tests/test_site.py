"""The documentation's site: the reference holds what the code has, and everything builds without a warning."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import genima_core
from genima_ros.cli.main import find_verbs
from genima_ros.graph.modes import MODES, spoken
from genima_ros.messages import interfaces

ROOT = Path(__file__).parents[1]
NODES = sorted((ROOT / "genima_ros" / "nodes").glob("*_node.py"))
pytest.importorskip("mkdocs", reason="extra docs of setup.cfg has it: make env")
pytestmark = pytest.mark.ros  # interfaces


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "hooks" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def used(file: Path) -> set[str]:
    """Names of topics and services that a node's file takes from `interfaces`."""
    tree = ast.parse(file.read_text())
    members = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "interfaces"
    }
    found = (getattr(interfaces, name) for name in members)
    return {value.name for value in found if isinstance(value, interfaces.Topic | interfaces.Service)}


@pytest.mark.parametrize("file", NODES, ids=lambda path: path.stem)
def test_a_node_names_the_topics_and_services_that_it_uses(reference, file):
    text = " ".join(reference.section(reference.docstring_of(file), title) for title in reference.ENDS)
    assert not {name for name in used(file) if not reference.names(text, name)}


def test_every_topic_has_a_row_and_an_end(reference):
    page = reference.topics_page()
    for name, topic in reference.topics().items():
        (line,) = (row for row in page.splitlines() if row.startswith(f"| `{topic.name}` |"))
        assert "nodes.md#" in line, f"no docstring of a node names {name}"


def test_every_service_has_a_row(reference):
    page = reference.topics_page()
    for service in interfaces.SERVICES.values():
        assert f"/{service.name.removeprefix('~/')}`" in page, service.name


def test_every_node_and_parameter_appears(reference):
    page = reference.nodes_page()
    for file in NODES:
        section = page.partition(f"## {file.stem}\n")[2].partition("\n## ")[0]
        kind = reference.parameters_of(file)
        for field in fields(kind):
            assert f"| `{field.name}` |" in section, f"{file.stem}: {field.name}"


def test_every_graph_and_argument_appears(reference):
    page = reference.graphs_page()
    for name, mode in MODES.items():
        section = page.partition(f"## genima up {spoken(name)}\n")[2].partition("\n## ")[0]
        assert {argument.name for argument in mode.arguments} == set(re.findall(r"^\| `(\w+):=", section, re.MULTILINE))
        assert not re.search(r"`the node's`|/(home|root|tmp|work)/", section)


def test_every_verb_appears_with_its_help(reference):
    page = reference.verbs_page()
    for name, verb in find_verbs().items():
        assert verb.help, f"genima {name} has no docstring"
        section = page.partition(f"## genima {name}\n")[2].partition("\n## ")[0]
        assert f"usage: genima {name}" in section and verb.help.split()[0] in section
    assert not re.search(r"/(home|root|tmp|work)/", page)


def test_every_name_of_the_library_has_a_summary(reference):
    page = reference.library_page()
    for name in genima_core.__all__:
        (line,) = (row for row in page.splitlines() if row.startswith(f"| [`{name}`]"))
        assert not line.endswith("|  |"), f"{name} has no docstring"


def test_every_page_is_in_the_navigation():
    listed = re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(listed)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    for page in ("index", "tutorial", "reference/topics", "reference/modules/genima_core.targets"):
        file = tmp_path / "site" / ("index.html" if page == "index" else f"{page}/index.html")
        assert file.is_file(), page
    assert 'id="genima_core.arm.Arm"' in (tmp_path / "site/reference/modules/genima_core/index.html").read_text()


def test_the_citation_says_what_the_package_says():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    package = (ROOT / "setup.cfg").read_text()
    assert f"version = {citation['version']}\n" in package and f"license = {citation['license']}\n" in package
