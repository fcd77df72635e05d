"""Files that are damaged in many ways end in a result or in one line, within a minute and a gigabyte each."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from .mutations import mutate
from .sources import SOURCES

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20261129])
def test_mutants_of_every_kind_of_file(seed):
    command = [sys.executable, "-m", "tests.mutants.run", "2", str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"{2 * sum(source.share for source in SOURCES.values())} mutants, " in done.stdout


def test_mutants_follow_from_their_seed(tmp_path):
    said = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.json"
        path.write_text('{"a": [1, 2], "b": {"c": 3}}')
        said.append((mutate(path, random.Random(5)), path.read_bytes() if path.is_file() else None))
    assert said[0] == said[1]
