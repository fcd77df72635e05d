"""Single keys from a terminal, over SSH as well, or the same characters from a pipe; reading never waits."""

import codecs
import os
import re
import select
import sys
import termios
import tty
from contextlib import suppress
from typing import Any, TextIO

ARROWS = {
    f"\x1b{kind}{letter}": name
    for kind in "[O"
    for letter, name in (("A", "up"), ("B", "down"), ("C", "right"), ("D", "left"))
}
KEY = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.|[^\x1b[O])|.", re.DOTALL)
"""What a terminal sends for one key: arrows and the like, characters with Alt, and else a character."""


class Keyboard:
    """Context manager: a terminal gives keys as they are pressed and shows nothing of them; it is put back at the end.

    Ctrl-C stays what it is. Where no keys can be read it says so: in the background of a shell, without standard
    input, and with a terminal that is another session's.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._file = -1 if stream is None else stream.fileno()
        self.is_terminal = stream is not None and os.isatty(self._file)
        self._before: list[Any] | None = None
        self._ended = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def __enter__(self) -> "Keyboard":
        if self._file < 0 or (self.is_terminal and self._is_of_others()):
            self._ended = True  # touching the terminal would stop the process
            remedy = "start it in the foreground of a terminal, or give it the keys by a pipe"
            print(f"no keys can be read here: {remedy}; Ctrl-C or SIGTERM ends it", file=sys.stderr, flush=True)
        elif self.is_terminal:
            self._before = termios.tcgetattr(self._file)
            tty.setcbreak(self._file, termios.TCSANOW)
        return self

    def _is_of_others(self) -> bool:
        try:
            return os.tcgetpgrp(self._file) != os.getpgrp()
        except OSError:  # it does not control this process
            return True

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            with suppress(termios.error):  # the terminal may be gone, as when SSH breaks off
                termios.tcsetattr(self._file, termios.TCSANOW, self._before)
            self._before = None

    def read(self) -> list[str]:
        """Keys pressed since the last time (see `keys`); the end of a pipe only means that no more come."""
        if self._ended or not select.select([self._file], [], [], 0)[0]:
            return []
        try:
            data = os.read(self._file, 1024)
        except OSError:
            data = b""
        self._ended = not data
        return keys(self._decoder.decode(data))


def keys(text: str) -> list[str]:
    """Single keys of what a terminal sent: characters, and up, down, left, right; other keys are left out."""
    return [ARROWS.get(key, key) for key in KEY.findall(text) if len(key) == 1 or key in ARROWS]
