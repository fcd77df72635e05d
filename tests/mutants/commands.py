"""Runs `genima` commands, each in a process of its own that has imported everything already, which takes seconds.

``python -m tests.mutants.commands`` reads lines of JSON, each the words after `genima`, a folder to run in and a file
for standard error, and answers each with the exit status and the largest memory in GB.
"""

import json
import os
import sys

import cv2  # noqa: F401
import diffusers  # noqa: F401
import pyarrow.parquet  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401

from genima_ros.cli import main as cli


def run(words: list[str], folder: str, said: str) -> tuple[int, float]:
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for stream, path in ((1, os.devnull), (2, said)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
        sys.argv[1:] = words
        cli.main()
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss / 1e6


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(*json.loads(line))), flush=True)
