"""A command that reads such a file says so in one line, writes nothing elsewhere, and takes less than two gigabytes."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .bombs import BOMBS
from .sources import SOURCES

ROOT = Path(__file__).parents[2]
MOST_GB = 2.0


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    """Undamaged files of each kind."""
    root = tmp_path_factory.mktemp("originals")
    for name in sorted({bomb.source for bomb in BOMBS.values()} | {"rig"}):
        (root / name).mkdir()
        SOURCES[name].make(root / name)
    return root


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[str, Path, Path], tuple[int, str, float]]]:
    """Exit status, standard error and the largest memory in GB of a `genima` command."""
    command = [sys.executable, "-m", "tests.mutants.commands"]
    env, pipes = (
        {**os.environ, "TRANSFORMERS_VERBOSITY": "error"},
        {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE},
    )
    with subprocess.Popen(command, cwd=ROOT, env=env, text=True, **pipes) as server:

        def call(command: str, folder: Path, out: Path) -> tuple[int, str, float]:
            said = out.parent / "said"
            job = shlex.split(command.format(folder, out)), str(out.parent), str(said)
            print(json.dumps(job), file=server.stdin, flush=True)
            status, gigabytes = json.loads(server.stdout.readline())
            return status, said.read_text(), gigabytes

        yield call
        server.stdin.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_command_refuses_it_in_one_line(name, originals, run, tmp_path):
    bomb = BOMBS[name]
    shutil.copytree(originals / "rig", tmp_path / "rig")
    folder = shutil.copytree(originals / bomb.source, tmp_path / bomb.source, dirs_exist_ok=True)
    files = list(folder.glob(bomb.files))
    assert files
    for path in files:
        bomb.change(path)
    status, said, gigabytes = run(bomb.command, folder, tmp_path / "out")
    print(f"{name}: {gigabytes:.2f} GB: {said}")
    assert status == 1
    assert bomb.said in said
    assert "Traceback" not in said and said.startswith("genima: ") and said.count("\n") == 1
    assert gigabytes < MOST_GB
    assert {path.name for path in tmp_path.iterdir()} <= {"rig", bomb.source, "out", "said"}
