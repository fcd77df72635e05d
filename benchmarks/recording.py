"""Recording four cameras, two arms and the commands: what is lost, what it costs, and what a kill -9 leaves.

python benchmarks/recording.py --minutes 10 --kills 100 --json recording.json
"""

import json as json_format
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.messages import header_stamp_ns
from genima_core.data.bags.reader import find_bags, open_bag
from genima_core.files import write_json
from genima_ros.clients.observer import Observer
from genima_ros.graph.domain import node_environment
from genima_ros.graph.graph import NodeProcess

PUBLISHER = Path(__file__).with_name("_publisher.py")
"""Of what the recorder holds, from a tenth of the time on: the times of all messages are a few MB."""
LIMIT_LAST_S = 1.0
FAST = ("camera", "camera_info", "joint_states", "leader_joint_states", "joint_commands")
"""What comes many times a second."""
CALL_S, ANSWER_S, READY_S = 30.0, 0.5, 60.0
EVERY_S = 1.0
SPIN_S = 0.02
TICKS_HZ = os.sysconf("SC_CLK_TCK")


def main(
    minutes: float = 10.0,
    kills: int = 100,
    fps: float = 30.0,
    size: int = 256,
    seed: int = 10000,
    domain: int = 77,
    out: Path | None = None,
    json: Path | None = None,
) -> None:
    """Records synthetic streams, then kills recorders.

    Args:
        minutes: length of the episode
        kills: moments at which a recorder is killed
        fps: images a second and camera
        size: width and height of the images
        seed: of pictures and moments
        domain: ROS domain
        out: where to keep the recordings; by default they are removed
        json: where to write the results for machines
    """
    environment = node_environment(os.environ, domain)
    os.environ.update({key: environment[key] for key in ("AMENT_PREFIX_PATH", "ROS_AUTOMATIC_DISCOVERY_RANGE")})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) if out is None else out
        bench = stack.enter_context(Bench(domain, environment, fps, size, seed))
        rows = [bench.record(folder / "whole", 60 * minutes)] if minutes > 0 else []
        rows += [bench.kill(folder / "killed", kills, random.Random(seed))] if kills > 0 else []
    write_json(json, {"rows": rows})
    for row in rows:
        table = Table("", "", title=row["name"], show_header=False)
        for key, value in row.items():
            if key != "name":
                table.add_row(key, f"{value:.3g}" if isinstance(value, float) else str(value))
        Console().print(table)


class Bench:
    """A publisher and recorders as processes, and an observer in this one."""

    def __init__(self, domain: int, environment: dict[str, str], fps: float, size: int, seed: int) -> None:
        self._environment, self._fps, self._size, self._seed = environment, fps, size, seed
        self._stack = ExitStack()
        self._observer = self._stack.enter_context(Observer(domain, "bench"))

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def record(self, out: Path, seconds: float) -> dict:
        """One long episode, from after the publisher's start until after its end."""
        publisher = self._publish(seconds + 8)
        recorder = self._recorder(out)
        self._start()
        begun_s, begun_cpu_s, memory_mb = time.monotonic(), cpu_s(recorder.pid), []
        while not readable(publisher):
            if time.monotonic() - begun_s >= EVERY_S * len(memory_mb):
                memory_mb.append(rss_mb(recorder.pid))
            self._observer.spin(SPIN_S)
        cores = (cpu_s(recorder.pid) - begun_cpu_s) / (time.monotonic() - begun_s)
        length_s = time.monotonic() - begun_s
        message = self._observer.call("recorder", "stop", CALL_S).message
        line = publisher.stdout.readline()
        end(recorder)
        end(publisher)
        bag_folder = find_bags(out)[0]
        expected, lost = frames(bag_folder, json_format.loads(line))
        quality = EpisodeInfo.load(bag_folder).quality
        if not memory_mb:
            raise RuntimeError("the recorder was ready only when all was over; this machine is too busy")
        settled = memory_mb[len(memory_mb) // 10 :]
        growth_mb = settled[-1] - settled[0]
        return {
            "name": f"recording 4 x {self._size}x{self._size} at {self._fps:g} FPS for {length_s / 60:.1f} min",
            "device": platform.processor() or platform.machine(),
            "frames_expected": expected,
            "frames_lost": lost,
            "recorder_cores": cores,
            "rss_mb_start": settled[0],
            "rss_mb_middle": settled[len(settled) // 2],
            "rss_mb_end": settled[-1],
            "rss_growth_mb": growth_mb,
            "skew_ms_p99": quality["skew_ms_p99"],
            "joint_skew_ms_p99": quality["joint_skew_ms_p99"],
            "frames_lost_by_quality": quality["frames_lost"],
            "file_mb": sum(path.stat().st_size for path in bag_folder.iterdir()) / 1e6,
            "verdict": message,
        }

    def kill(self, out: Path, kills: int, rng: random.Random) -> dict:
        """Recorders that are killed while episodes start, run and end, one life each."""
        publisher = self._publish(60 + 12.0 * kills)
        finished: dict[Path, tuple] = {}
        failures, open_ages_s, young = [], [], 0
        for k in range(kills):
            recorder = self._recorder(out)
            self._start()
            begun_s, life_s = time.monotonic(), rng.uniform(0.2, 3.5)
            stop_s, running = rng.uniform(0.5, 3.5), True
            while (at_s := time.monotonic() - begun_s) < life_s:
                if at_s >= stop_s and running:
                    self._ask("stop")
                    self._ask("start")
                    running = False  # one change a life; the moment of the kill may lie anywhere around it
                self._observer.spin(min(0.02, max(0.0, life_s - at_s)))
            killed_ns = time.time_ns()
            os.kill(recorder.pid, signal.SIGKILL)
            recorder.wait()
            for folder in sorted(out.glob("episode_*")):
                if folder in finished:
                    continue
                age_s, problem = inspect(folder, killed_ns)
                if problem:
                    failures.append(f"kill {k}: {folder.name}: {problem}")
                elif (folder / "metadata.yaml").exists():
                    finished[folder] = state_of(folder)
                elif age_s is None:
                    young += 1
                else:
                    open_ages_s.append(age_s)
                finished.setdefault(folder, ())
        failures += [
            f"{folder.name} was touched later"
            for folder, state in finished.items()
            if state and state_of(folder) != state
        ]
        end(publisher)
        for line in failures:
            print(line, flush=True)
        return {
            "name": f"kill -9 at {kills} random moments",
            "device": platform.processor() or platform.machine(),
            "finished_whole": sum(bool(state) for state in finished.values()),
            "open_readable": len(open_ages_s),
            "open_younger_than_1_s": young,
            "missing_s_max": max(open_ages_s, default=0.0),
            "failures": len(failures),
        }

    def _publish(self, seconds: float) -> subprocess.Popen:
        command = [
            sys.executable,
            str(PUBLISHER),
            "--seconds",
            str(seconds),
            "--size",
            str(self._size),
            "--fps",
            str(self._fps),
            "--seed",
            str(self._seed),
        ]
        process = subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True)
        self._stack.callback(end, process)
        return process

    def _recorder(self, out: Path) -> subprocess.Popen:
        node = NodeProcess(
            "recorder",
            "recorder_node",
            {"out": str(out), "task": "bench", "fps": self._fps},
            (),
            (),
            niceness=0,
            respawn=False,
        )
        process = subprocess.Popen(node.command(), env=self._environment, stdout=subprocess.DEVNULL)
        self._stack.callback(end, process)
        return process

    def _start(self) -> None:
        """Starts an episode as soon as the recorder hears all streams."""
        deadline_s = time.monotonic() + READY_S
        while True:
            try:
                # Short: a question that only reaches a recorder which was killed before is never answered.
                self._observer.call("recorder", "start", ANSWER_S)
                return
            except RuntimeError as error:
                if "is being recorded" in str(error):
                    return
                if time.monotonic() > deadline_s:
                    raise
                self._observer.spin(SPIN_S)

    def _ask(self, service: str) -> None:
        from genima_ros.messages import interfaces

        kind = interfaces.SERVICES[service].type
        self._observer.node.create_client(kind, f"recorder/{service}").call_async(kind.Request())


def frames(folder: Path, published: dict[str, dict]) -> tuple[int, int]:
    """How many images were published from the first that was recorded until the last of all, and lost of these."""
    bag = open_bag(folder)
    cameras = {topic: role for role, topic in bag.info.streams.items() if role.startswith("camera/")}
    stamps: dict[str, set[int]] = {topic: set() for topic in cameras}
    for message in bag.messages(set(cameras)):
        stamps[message.topic].add(header_stamp_ns(message.data, message.type))
    expected = lost = 0
    for topic, recorded in stamps.items():
        source = published[topic.removesuffix("/compressed")]
        count = round((source["last_ns"] - min(recorded)) / source["period_ns"]) + 1
        expected, lost = expected + count, lost + count - len(recorded)
    return expected, lost


def inspect(folder: Path, killed_ns: int) -> tuple[float | None, str]:
    """By how many seconds the last messages are older than the kill (None if it began only then), and what is wrong."""
    if not list(folder.glob("*.mcap")):
        return None, ""
    try:
        bag = open_bag(folder)
        last_ns: dict[str, int] = {}
        first_ns = killed_ns
        for message in bag.messages():
            last_ns[message.topic] = max(last_ns.get(message.topic, 0), message.received_ns)
            first_ns = min(first_ns, message.received_ns)
    except (ValueError, OSError) as error:
        return None, f"cannot be read: {error}"
    if bag.finished:
        return None, bag.damage
    begun = EpisodeInfo.load(folder).begun_at
    age_s = 1e-9 * (killed_ns - np.datetime64(begun.removesuffix("+00:00")).astype("datetime64[ns]").astype(int))
    if age_s < LIMIT_LAST_S:
        return None, ""
    roles = {role: topic for role, topic in bag.info.streams.items() if role.partition("/")[0] in FAST}
    missing_s = {role: 1e-9 * (killed_ns - last_ns.get(topic, 0)) for role, topic in roles.items()}
    worst = max(missing_s, key=missing_s.get)
    problem = f"{worst} ends {missing_s[worst]:.2f} s before the kill" if missing_s[worst] > LIMIT_LAST_S else ""
    return missing_s[worst], problem


def state_of(folder: Path) -> tuple:
    return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.iterdir()))


def cpu_s(pid: int) -> float:
    """Time of all its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_HZ


def rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def readable(process: subprocess.Popen) -> bool:
    import select

    return bool(select.select([process.stdout], [], [], 0)[0])


def end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait()


if __name__ == "__main__":
    tyro.cli(main)
