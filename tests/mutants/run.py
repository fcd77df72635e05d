"""Reads mutants of every kind of file, and prints a line for each that ends otherwise than it should.

``python -m tests.mutants.run COUNT SEED [KIND ...]``; the kernel ends it where one takes more than a minute of
processor time after another, or memory without end.
"""

import contextlib
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from .mutations import mutate
from .sources import SOURCES, Source

MOST_S, MOST_GB = 60.0, 1.0
"""Of one reading: processor time, and growth of memory."""


def main(count: int, seed: int, kinds: list[str]) -> int:
    limit = 12 << 30
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    failures = total = 0
    with tempfile.TemporaryDirectory() as scratch:
        for kind in kinds or SOURCES:
            source, original = SOURCES[kind], Path(scratch) / kind
            original.mkdir()
            source.make(original)
            for number in range(count * source.share):
                failures += _one(kind, source, original, Path(scratch) / "mutant", f"{seed} {kind} {number}")
                total += 1
    print(f"{total} mutants, {failures} failures")
    return 1 if failures else 0


def _one(kind: str, source: Source, original: Path, folder: Path, seed: str) -> int:
    rng = random.Random(seed)
    shutil.copytree(original, folder / "in")
    out = folder / "out"
    out.mkdir()
    files = sorted({p for pattern in source.files for p in (folder / "in").glob(pattern) if p.is_file()})
    path = rng.choice(files)
    what = f"{path.relative_to(folder / 'in')}: {mutate(path, rng)}"
    begun_s, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problem = ""
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            source.read(folder / "in", out)
    except (ValueError, OSError) as error:
        if not str(error).strip():
            problem = "an error without words"
    except BaseException:
        problem = traceback.format_exc()
    took_s = time.process_time() - begun_s
    grown_gb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
    if took_s > MOST_S or grown_gb > MOST_GB:
        problem += f"took {took_s:.0f} s and {grown_gb:.1f} GB"
    if any(entry.name not in ("in", "out") for entry in folder.iterdir()) or (folder.parent / "escaped").exists():
        problem += "wrote elsewhere"
    shutil.rmtree(folder)
    if problem:
        print(f"[{seed}] {what}\n{problem}", flush=True)
    return bool(problem)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
