"""What every conversion into a data set does: go on where it was interrupted, leave out with a reason, sum up."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from genima_core.cameras import CameraRig
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.episode import Episode
from genima_core.data.origin import Origin, resume


class Conversion:
    """A data set in the making; a context, which finishes its files."""

    def __init__(self, source: Path, out: Path, origin: Origin) -> None:
        """ValueError: `out` holds something else, or was made with other arguments."""
        self.source, self.out, self._origin = Path(source), Path(out), origin
        self._begun_s, self._stack = time.monotonic(), ExitStack()
        self.known, before = resume(self.out, origin)
        """How many episodes were there before."""
        self.done = list(before.episodes[: self.known])
        """Names of the episodes in the data set."""
        self.report: Mapping[str, Any] = before.report
        """What was found out, shown again when there is nothing left to do."""
        self.left_out: dict[str, str] = {}
        """Names to reasons."""
        self._writer: DatasetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            replace(self._origin, episodes=tuple(self.done), report=self.report).save(self.out)
        self._stack.__exit__(kind, error, trace)

    @contextmanager
    def leaving_out(self, name: str) -> Iterator[None]:
        """What cannot be read or is not as it should be inside, is left out, and why."""
        try:
            yield
        except (ValueError, FileNotFoundError) as error:
            self.left_out[name] = str(error)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun_s

    @property
    def rig(self) -> CameraRig | None:
        """Of the episodes that are there already; None before the first."""
        return Dataset(self.out).rig if self.done else None

    def add(self, name: str, episode: Episode, rig: CameraRig, fps: int) -> None:
        """Writes an episode; ValueError: it cannot be written; RuntimeError: somebody else has added to the folder."""
        if self._writer is None:
            self._writer = self._stack.enter_context(DatasetWriter(self.out, rig, fps=fps))
            if len(self._writer) != self.known:
                raise RuntimeError(f"another process has added to {self.out} meanwhile; run this again")
        # Before the episode, so that a kill in between leaves a name too many and none too few.
        replace(self._origin, episodes=(*self.done, name), report=self.report).save(self.out)
        self._writer.add(episode)
        self.done.append(name)

    def summary(self, **more: Any) -> dict[str, Any]:
        """For `--json`, after the end; prints what was left out. ValueError: nothing was converted."""
        if not self.done:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.left_out.items())
            raise ValueError(f"nothing of {self.source} could be converted: {reasons or 'it holds no episodes'}")
        for name, reason in self.left_out.items():
            print(f"left out {name}: {reason}")
        dataset, added = Dataset(self.out), len(self.done) - self.known
        frames = sum(dataset.lengths)
        new_s = sum(dataset.lengths[len(dataset) - added :]) / dataset.fps
        ratio = round(new_s / self.seconds, 2) if added else None
        at = f" ({ratio:g} x real time)" if ratio is not None else ""
        new = f"{added} new in {self.seconds:.0f} s{at}, {len(self.left_out)} left out"
        print(f"{self.out}: {len(dataset)} episodes, {frames} frames; {new}")
        return {
            "source": str(self.source),
            "out": str(self.out),
            "episodes": len(dataset),
            "tasks": dict(Counter(dataset.tasks)),
            "added": added,
            "skipped": self.left_out,
            "frames": frames,
            "seconds": round(self.seconds, 2),
            "real_time_ratio": ratio,
            "fingerprint": dataset.fingerprint(),
            **more,
        }
