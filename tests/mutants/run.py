"""Reads mutants of every kind of file, and prints a line for each that ends otherwise than it should.

``python -m tests.mutants.run COUNT SEED [KIND ...]``; one that waits for ever ends it, with a traceback.
"""

import contextlib
import faulthandler
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
FOR_EVER_S = 600.0


def main(count: int, seed: int, kinds: list[str]) -> int:
    limit = 12 << 30
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    failures = refused = total = 0
    with tempfile.TemporaryDirectory() as scratch:
        for kind in kinds or SOURCES:
            source, original = SOURCES[kind], Path(scratch) / kind
            original.mkdir()
            source.make(original)
            for number in range(count * source.share):
                ended = _one(source, original, Path(scratch) / "mutant", f"{seed} {kind} {number}")
                failures, refused, total = failures + (ended == "failed"), refused + (ended == "refused"), total + 1
    faulthandler.cancel_dump_traceback_later()
    print(f"{total} mutants, {refused} refused, {failures} failures")
    return 1 if failures else 0


def _one(source: Source, original: Path, folder: Path, seed: str) -> str:
    """Reads one mutant; "read", "refused" or "failed"."""
    rng = random.Random(seed)
    shutil.copytree(original, folder / "in")
    out = folder / "out"
    out.mkdir()
    files = sorted({p for pattern in source.files for p in (folder / "in").glob(pattern) if p.is_file()})
    path = rng.choice(files)
    what = f"{path.relative_to(folder / 'in')}: {mutate(path, rng)}"
    faulthandler.dump_traceback_later(FOR_EVER_S, exit=True)
    begun_s, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problem, ended = "", "read"
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            source.read(folder / "in", out)
    except (ValueError, OSError) as error:
        ended = "refused"
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
    return "failed" if problem else ended


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
