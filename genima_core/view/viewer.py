"""Brings episodes into Rerun: into a file, its viewer, or a page in the browser."""

import os
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import rerun as rr

from genima_core.files import one_line, replaced_file, telling_full_disk
from genima_core.view.desk import lay_out
from genima_core.view.log import EpisodeLog
from genima_core.view.shown import Shown

APPLICATION = "genima"
ENDING = ".rrd"
HOST, PORT, WEB_PORT = "127.0.0.1", 9876, 9090
"""Rerun's own ports; others where these are taken. Nothing listens beyond this machine."""
READY_S = 30.0
POLL_S, FLUSH_S = 0.05, 1.0


@dataclass(frozen=True)
class Brought:
    """An episode that the viewer has."""

    title: str
    seconds: float
    """That it took."""
    problem: str = ""
    """Why only a part of it is there, or nothing."""
    shown: bool = True


Sink = Callable[[rr.RecordingStream, Shown], None]
"""Connects an episode's stream to where it goes."""
Say = Callable[[Brought], None]
"""Is told of each episode at its end."""


def bring(episodes: Sequence[Shown], sink: Sink, say: Say, check: Callable[[], None] = lambda: None) -> list[Brought]:
    """One after the other, the first one last: the viewer opens what came last.

    Of one that turns out to be damaged there is nothing, or what could be read of it. `check` is called while the
    viewer is waited for, and ends the wait by what it raises.
    """
    brought = []
    for place, shown in reversed(list(enumerate(episodes, 1))):
        began_s = time.monotonic()
        title = f"{place:0{len(str(len(episodes)))}d}. {shown.title}"  # the viewer sorts them by name
        problem, streams = "", list[rr.RecordingStream]()
        try:
            shown.write(partial(_open, shown, title, sink, streams))
        except (ValueError, OSError) as error:
            problem = one_line(error)
        finally:
            for stream in streams:
                _finish(stream, check)
        brought.append(Brought(title, time.monotonic() - began_s, problem, bool(streams)))
        say(brought[-1])
    return brought[::-1]


def _open(shown: Shown, title: str, sink: Sink, streams: list[rr.RecordingStream]) -> EpisodeLog:
    stream = rr.RecordingStream(APPLICATION, recording_id=str(uuid.uuid4()))
    streams.append(stream)
    sink(stream, shown)
    stream.send_recording_name(title)
    return EpisodeLog(stream, shown.rig)


def _finish(stream: rr.RecordingStream, check: Callable[[], None]) -> None:
    """Waits until all has arrived; Rerun alone would wait for ever for some viewers that have ended."""
    arrived = False
    while not arrived:
        began_s = time.monotonic()
        try:
            stream.flush(timeout_sec=FLUSH_S)
            arrived = True
        except RuntimeError as error:
            check()
            if time.monotonic() - began_s < FLUSH_S:  # the time was not up
                raise RuntimeError(f"Rerun could not pass an episode on: {one_line(error)}") from error
    check()
    stream.disconnect()


def check_file(path: Path) -> None:
    """ValueError, FileExistsError: the file has another ending, or is there already."""
    if path.suffix != ENDING:
        raise ValueError(f"--save {path} does not end in {ENDING}, by which Rerun knows its files")
    if path.exists():
        raise FileExistsError(f"--save {path} is there already: name another file, or remove it")


def save(episodes: Sequence[Shown], path: Path, say: Say) -> list[Brought]:
    """Into one file, which is whole or not there."""
    check_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with telling_full_disk(path.parent), tempfile.TemporaryDirectory(dir=path.parent, prefix=".view_") as folder:
        parts: list[Path] = []

        def sink(stream: rr.RecordingStream, shown: Shown) -> None:
            parts.append(Path(folder) / f"{len(parts)}{ENDING}")
            stream.save(parts[-1], default_blueprint=_layout(shown))

        brought = bring(episodes, sink, say)
        if not parts:
            raise ValueError(f"nothing is left to show: {'; '.join(each.problem for each in brought)}")
        with replaced_file(path) as temporary:
            merged = subprocess.run(
                [executable(), "rrd", "merge", *parts, "-o", temporary], capture_output=True, text=True, check=False
            )
            if merged.returncode:
                raise RuntimeError(f"Rerun could not write {path}: {merged.stderr.strip()[-300:]}")
    return brought


def show(episodes: Sequence[Shown], say: Say) -> list[Brought]:
    """In the native viewer, which stays when this ends. RuntimeError: there is no display, or it does not start."""
    if not has_display(os.environ):
        raise RuntimeError("there is no display here: --web shows it in a browser, --save FILE.rrd writes it to a file")
    port = free_port(PORT)
    process = subprocess.Popen(
        [executable(), "--bind", HOST, "--port", str(port), "--hide-welcome-screen", "--expect-data-soon"],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    wait_for(process, port)
    return bring(episodes, to_port(port), say, partial(check_running, process))


@contextmanager
def serve(episodes: Sequence[Shown], say: Say) -> Iterator[tuple[str, list[Brought], subprocess.Popen]]:
    """As a page in the browser of this machine: its address, and the process that serves it, which ends afterwards."""
    port, web_port = free_port(PORT), free_port(WEB_PORT)
    process = subprocess.Popen(
        [executable(), "--serve-web", "--bind", HOST, "--port", str(port), "--web-viewer-port", str(web_port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for each in (port, web_port):
            wait_for(process, each)
        brought = bring(episodes, to_port(port), say, partial(check_running, process))
        yield f"http://{HOST}:{web_port}/?url={quote(_url(port), safe='/:')}", brought, process
    finally:
        process.terminate()
        process.wait()


def has_display(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def to_port(port: int) -> Sink:
    return lambda stream, shown: stream.connect_grpc(_url(port), default_blueprint=_layout(shown))


def _layout(shown: Shown) -> rr.blueprint.Blueprint:
    return lay_out(shown.rig.names, shown.drawn)


def _url(port: int) -> str:
    return f"rerun+http://{HOST}:{port}/proxy"


def executable() -> Path:
    """Of the viewer and of the tools; RuntimeError where the wheel lacks it."""
    spec = find_spec("rerun_cli")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("Rerun's viewer is missing: install rerun-sdk again, pip install '.[view]'")
    return Path(spec.submodule_search_locations[0], "rerun")


def free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError(f"no port of {HOST} is free")


def wait_for(process: subprocess.Popen, port: int) -> None:
    """Until the process listens; RuntimeError: it has ended, or takes too long."""
    end_s = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end_s:
        try:
            socket.create_connection((HOST, port), timeout=READY_S).close()
            return
        except ConnectionRefusedError:
            time.sleep(POLL_S)
    check_running(process)
    process.kill()
    raise RuntimeError(f"Rerun does not listen after {READY_S:.0f} s; --save FILE.rrd needs no viewer")


def check_running(process: subprocess.Popen) -> None:
    """RuntimeError: it has ended."""
    if process.poll() is not None:
        ended = f"Rerun's viewer ended with status {process.returncode}"
        raise RuntimeError(f"{ended}: --web needs no display, --save FILE.rrd no viewer")
