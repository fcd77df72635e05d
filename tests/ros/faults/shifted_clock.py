"""The wall clock of the nodes, which can be set as a time server sets it, without touching the machine's."""

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shifted_clock.c")


def find_compiler() -> str | None:
    """Of C."""
    return shutil.which("cc") or shutil.which("gcc")


class ShiftedClock:
    """Processes that start with `environment` share a clock that `set` moves, for all of them at one moment."""

    def __init__(self, folder: Path) -> None:
        """Compiles the library into the folder; where no C compiler is, the clock cannot be `set`.

        Raises:
            RuntimeError: the compiler fails.
        """
        self.offset_s = self.before_s = 0
        self.environment: dict[str, str] = {}
        library, self._file = folder / "shifted_clock.so", folder / "shifted_clock"
        compiler = find_compiler()
        if compiler is None:
            return
        made = subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise RuntimeError(f"{SOURCE.name} does not compile: {made.stderr}")
        self._file.write_bytes(struct.pack("d", 0.0))
        self.environment = {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(self._file)}

    def set(self, offset_s: int) -> None:
        """From now on the clock is so many whole seconds ahead of the machine's.

        Raises:
            RuntimeError: there was no C compiler.
        """
        if not self.environment:
            raise RuntimeError("no C compiler for a clock that jumps: apt-get install gcc")
        self.before_s, self.offset_s = self.offset_s, offset_s
        with self._file.open("r+b") as file:
            file.write(struct.pack("d", float(offset_s)))
