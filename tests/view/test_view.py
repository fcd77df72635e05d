"""`genima view`, against Rerun's own reader: entities, times, numbers and pictures of what it wrote."""

import json
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

pytest.importorskip("rerun")

from rerun.chunk import RrdReader

from genima_core.arm import PANDA
from genima_core.data.bags.episodes import Options, read_episode
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.simulated import SimulatedRecorder
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.streaming.states import Command, Commander, Reason, State, Status
from genima_core.targets.gate import GateState
from genima_core.types import ActionChunk
from genima_core.view import viewer
from genima_core.view.log import TIMELINE, about
from genima_core.view.shown import find_shown
from genima_ros.cli.main import run

from ..data import synthetic
from ..data.bags import recorded

HAND = recorded.q(np.array([recorded.BEGUN_S]))[0]


class Rrd:
    """What Rerun reads from a file: columns by the entity's path, of each recording in it."""

    def __init__(self, path: Path) -> None:
        self._reader = RrdReader(path)
        self._stores = {store.recording_id: store for store in self._reader.recordings()}
        self.blueprints = len(self._reader.blueprints())

    def __len__(self) -> int:
        return len(self._stores)

    def names(self) -> list[str]:
        """Titles of the recordings, as the viewer sorts them."""
        found = (self.column(store, "/__properties", "RecordingInfo:name", False) for store in self._stores)
        return sorted(name[0] for (name,) in found)

    def titled(self, part: str) -> str:
        return next(
            store
            for store in self._stores
            if part in self.column(store, "/__properties", "RecordingInfo:name", False)[0][0]
        )

    def batches(self, store: str, entity: str):
        for chunk in self._reader.stream(store=self._stores[store]).collect().stream():
            if chunk.entity_path == entity:
                yield chunk.to_record_batch()

    def entities(self, store: str) -> set[str]:
        return {chunk.entity_path for chunk in self._reader.stream(store=self._stores[store]).collect().stream()}

    def column(self, store: str, entity: str, component: str, timed: bool = True) -> list:
        """Values of a component; with the times in ns, in their order, where it has some."""
        rows = []
        for batch in self.batches(store, entity):
            if component in batch.schema.names and (TIMELINE in batch.schema.names) == timed:
                values = batch.column(component).to_pylist()
                times = batch.column(TIMELINE).cast("int64").to_pylist() if timed else [0] * len(values)
                rows += [(time, value) for time, value in zip(times, values, strict=True) if value is not None]
        rows.sort(key=lambda row: row[0])
        return rows if timed else [value for _, value in rows]


def vectors(rrd: Rrd, store: str, entity: str) -> tuple[np.ndarray, np.ndarray]:
    """Times (T,) in ns and values (T, n)."""
    rows = rrd.column(store, entity, "Scalars:scalars")
    return np.array([time for time, _ in rows]), np.array([value for _, value in rows])


def pictures(rrd: Rrd, store: str, entity: str) -> dict[int, np.ndarray]:
    rows = rrd.column(store, entity, "EncodedImage:blob")
    return {time: np.frombuffer(bytes(value[0]), np.uint8) for time, value in rows}


def decoded(data: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def view(*arguments: object) -> int:
    return run(["view", *map(str, arguments)])


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    with DatasetWriter(tmp_path / "data", synthetic.rig()) as writer:
        for seed, success in enumerate((True, False, True)):
            writer.add(synthetic.episode(seed, success=success))
    return Dataset(tmp_path / "data")


@pytest.fixture
def recordings(tmp_path) -> Path:
    """A good one, a suspect one, a failure, and one that is damaged."""
    folder = tmp_path / "recordings"
    infos = ({}, {"suspect": ("front dropped 9 of 30 frames",)}, {"label": "failure"}, {})
    for number, info in enumerate(infos):
        recorded.write(folder / f"episode_{number:06d}", info=info)
    mcap = next((folder / "episode_000003").glob("*.mcap"))
    data = bytearray(mcap.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 400] = bytes(400)
    mcap.write_bytes(data)
    return folder


def test_a_data_set_is_shown_as_it_is_stored(dataset, tmp_path):
    file = tmp_path / "set.rrd"
    assert view(dataset.root, "--save", file) == 0
    rrd = Rrd(file)
    assert len(rrd) == 3 and rrd.blueprints
    assert rrd.names() == [
        "1. episode 1, push_button, failure",
        "2. episode 0, push_button",
        "3. episode 2, push_button",
    ]
    store, episode = rrd.titled("episode 2"), dataset.episode(2)
    times_ns, q = vectors(rrd, store, "/joints/measured")
    np.testing.assert_array_equal(times_ns, np.round(1e9 * episode.stamps_s).astype(np.int64))
    np.testing.assert_array_equal(q, episode.q)
    due_ns, commanded = vectors(rrd, store, "/joints/commanded")
    np.testing.assert_array_equal(due_ns[:-1], times_ns[1:])
    np.testing.assert_array_equal(commanded, episode.action_q)
    np.testing.assert_array_equal(vectors(rrd, store, "/gripper/measured")[1][:, 0], episode.gripper)
    for i, name in enumerate(dataset.rig.names):
        shown, stamps_ns = pictures(rrd, store, f"/world/cameras/{name}"), np.round(1e9 * episode.image_stamps_s[:, i])
        assert list(shown) == stamps_ns.astype(int).tolist()
        picture = decoded(shown[int(stamps_ns[5])]).astype(float)
        assert np.abs(picture - episode.images[name][5]).mean() < 4  # JPEG
    skew_ms = vectors(rrd, store, "/skew/front")[1][:, 0]
    np.testing.assert_allclose(
        skew_ms, 1e3 * (episode.image_stamps_s[:, 1] - episode.image_stamps_s[:, 0]), atol=15, rtol=0
    )


def test_rerun_itself_finds_nothing_wrong(dataset, tmp_path):
    file = tmp_path / "set.rrd"
    assert view(dataset.root, "--save", file) == 0
    command = [viewer.executable(), "rrd", "verify", file]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr


def test_the_arm_and_the_cameras_stand_where_they_stood(dataset, tmp_path):
    file = tmp_path / "set.rrd"
    assert view(dataset.root, "--episodes", 0, "--save", file) == 0
    rrd, episode = Rrd(file), dataset.episode(0)
    [store] = rrd._stores
    hand = np.array([value[0] for _, value in rrd.column(store, "/world/arm/8", "Transform3D:translation")])
    expected = PANDA.frame_pose(episode.q, "hand")[:, :3, 3]
    np.testing.assert_allclose(hand[0], expected[0], atol=1e-6)
    assert np.linalg.norm(hand[:, None] - expected[None], axis=-1).min(axis=1).max() < 1e-6
    [front] = rrd.column(store, "/world/cameras/front", "Transform3D:translation", timed=False)
    np.testing.assert_allclose(front[0], dataset.rig["front"].T_mount_cam[:3, 3], atol=1e-6)
    wrist = np.array([value[0] for _, value in rrd.column(store, "/world/cameras/wrist", "Transform3D:translation")])
    T_base_cam = dataset.rig["wrist"].T_base_cam(PANDA.frame_pose(episode.q[0], "hand"))
    np.testing.assert_allclose(wrist[0], T_base_cam[:3, 3], atol=1e-6)
    planned = np.array([value for _, value in rrd.column(store, "/world/planned", "Points3D:positions")])
    np.testing.assert_allclose(planned[0], PANDA.target_poses(episode.q[-1])[:, :3, 3], atol=1e-5)


def test_recordings_are_shown_as_they_came_and_the_worst_first(recordings, tmp_path, capsys):
    file = tmp_path / "recorded.rrd"
    assert view(recordings, "--save", file, "--json", tmp_path / "shown.json") == 1
    assert "episode_000003, push_button (" in (told := capsys.readouterr().out) and "left out, it is damaged" in told
    shown = json.loads((tmp_path / "shown.json").read_text())["episodes"]
    assert [each["shown"] for each in shown] == [True, True, True, False] and "repair" in shown[3]["problem"]
    rrd = Rrd(file)
    assert rrd.names() == [
        "1. episode_000002, push_button, failure",
        "2. episode_000001, push_button, suspect",
        "3. episode_000000, push_button",
    ]
    store, bag = rrd.titled("episode_000000"), open_bag(recordings / "episode_000000")
    stored = {m.captured_ns: bytes(m.decode().data) for m in bag.messages({"/front/color/image_raw/compressed"})}
    shown = pictures(rrd, store, "/world/cameras/front")
    assert {time: data.tobytes() for time, data in shown.items()} == stored, "not decoded and coded again"
    times_ns, q = vectors(rrd, store, "/joints/measured")
    assert len(times_ns) == 100
    np.testing.assert_allclose(1e-9 * times_ns, recorded.BEGUN_S + 0.01 * np.arange(100), atol=1e-6)
    np.testing.assert_allclose(q, recorded.q(1e-9 * times_ns), atol=1e-6)
    skew_ms = vectors(rrd, store, "/skew/left_shoulder")[1][:, 0]
    np.testing.assert_allclose(skew_ms, 15.0, atol=0.01)
    error = vectors(rrd, store, "/following_error")[1]
    assert np.median(error) == pytest.approx(0.01, abs=1e-3)
    [about] = rrd.column(rrd.titled("episode_000001"), "/about", "TextDocument:text", timed=False)
    assert "front dropped 9 of 30 frames" in about[0]
    for name, path, text in (("1", "suspect", "front dropped 9 of 30 frames"), ("2", "label", "failure")):
        [(_, said)] = rrd.column(rrd.titled(f"episode_00000{name}"), f"/log/{path}", "TextLog:text")
        assert said == [text]


def test_of_several_demo_runs_the_newest_is_shown(tmp_path):
    for day, task in (("2026-01-01_10-00-00", "open_drawer"), ("2026-01-02_09-00-00", "turn_tap")):
        recorded.write(tmp_path / "runs" / day / "recordings" / "episode_000000", info={"task": task})
    (tmp_path / "runs" / "notes").mkdir()
    for path in (tmp_path / "runs", tmp_path / "runs" / "2026-01-02_09-00-00"):
        found, left_out = find_shown(path, ())
        assert [shown.name for shown in found] == ["episode_000000, turn_tap"] and not left_out


def test_only_what_is_asked_for_is_shown(recordings, tmp_path):
    file = tmp_path / "two.rrd"
    assert view(recordings, "--episodes", 2, 0, "--save", file) == 0
    assert Rrd(file).names() == ["1. episode_000002, push_button, failure", "2. episode_000000, push_button"]
    file = tmp_path / "one.rrd"
    assert view(recordings, "--most", 1, "--save", file) == 0
    assert Rrd(file).names() == ["1. episode_000002, push_button, failure"]


def test_an_interrupted_recording_is_shown_up_to_its_end(tmp_path):
    folder = recorded.write(tmp_path / "episode_000000", finished=False)
    assert view(folder, "--save", tmp_path / "cut.rrd") == 0
    assert vectors(rrd := Rrd(tmp_path / "cut.rrd"), rrd.titled("episode"), "/joints/measured")[1].shape == (100, 7)


def simulated(folder: Path, drawing: np.ndarray) -> Path:
    rig, begun_s = synthetic.rig(), 5.0
    recorder = SimulatedRecorder(folder, rig, "push_button", "push the red button", 7, 10, begun_s)
    for step in range(100):
        now_s = begun_s + 0.02 * step
        command = Command(
            State.TRACKING if step > 50 else State.HOLDING,
            Reason.NONE if step > 50 else Reason.WAITING,
            "" if step > 50 else "Waiting for a chunk.",
            q=HAND + 0.001 * step,
            dq=np.full(7, 0.05),
            gripper_width_m=0.04,
            commander=Commander.POLICY if step > 50 else Commander.NONE,
        )
        recorder.on_joint_state(HAND + 0.001 * (step - 2), np.full(7, 0.05), 0.5, now_s)
        recorder.on_command(command, now_s)
        if step % 5 == 0:
            views = {name: synthetic.frames(np.random.default_rng(step), 1, 32)[0] for name in rig.names}
            recorder.on_images(views, now_s)
        if step == 50:
            recorder.on_drawing(drawing, now_s - 0.2, now_s)
            recorder.on_gate(Status(GateState.OPEN, Reason.DRAWING, "the wrist view is noisy"), now_s)
            chunk = ActionChunk(HAND + np.linspace(0, 0.1, 20)[:, None], np.ones(20), 0.05, now_s + 0.05, now_s - 0.2)
            recorder.on_chunk(chunk, now_s)
    info = recorder.finish(False, begun_s + 2.0)
    assert info.label == "failure" and not info.suspect
    return folder


def test_what_a_policy_did_is_shown(tmp_path):
    """Drawing, chunk, states and words of an episode as `genima eval --record` writes it."""
    drawing = np.stack([np.full((32, 32, 3), level, np.uint8) for level in (50, 100, 150, 200)])
    folder = simulated(tmp_path / "push_button_7_asked", drawing)
    options = Options(include_failures=True)
    episode, _ = read_episode(folder, options)  # `genima convert bags` takes it as well
    assert not episode.success and episode.seed == 7
    np.testing.assert_allclose(episode.action_q - episode.q, 0.003, atol=2e-3)
    assert view(folder, "--save", tmp_path / "run.rrd") == 0
    rrd = Rrd(tmp_path / "run.rrd")
    store = rrd.titled("failure")
    [(time_ns, data)] = pictures(rrd, store, "/drawing").items()
    assert time_ns == 5_800_000_000, "its capture time, not when it was finished"
    assert decoded(data).shape == (64, 64, 3) and decoded(data)[48, 48] == pytest.approx(200, abs=3)
    [(_, planned)] = rrd.column(store, "/world/planned", "Points3D:positions")
    np.testing.assert_allclose(planned, PANDA.target_poses(HAND + 0.1)[:, :3, 3], atol=1e-5)
    states = [value[0] for _, value in rrd.column(store, "/states/streamer", "StateChange:state")]
    assert states == ["holding", "tracking"]
    said = {
        path: [value[0] for _, value in rrd.column(store, path, "TextLog:text")]
        for path in ("/log/gate", "/log/success")
    }
    assert said == {"/log/gate": ["open: the wrist view is noisy"], "/log/success": ["the task is not done"]}


def test_uncompressed_pictures_become_small(tmp_path):
    folder = recorded.write(tmp_path / "raw", recorded.Plan(raw=True))
    assert view(folder, "--save", tmp_path / "raw.rrd") == 0
    rrd = Rrd(tmp_path / "raw.rrd")
    shown = list(pictures(rrd, rrd.titled("raw"), "/world/cameras/front").values())
    assert decoded(shown[7])[24, 24] == pytest.approx(recorded.grey(7, 1), abs=4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere",), "nowhere does not exist; give an episode"),
        (("empty",), "there is nothing to show in empty; give an episode"),
        (("file.txt",), "file.txt is not a folder"),
        (("data", "--episodes", "7"), "--episodes 7: there is no such episode; valid are 0 to 2"),
        (("data", "--most", "0"), "--most is 0; at least 1"),
        (("data", "--save", "file.txt"), "does not end in .rrd"),
        (("data", "--save", "there.rrd"), "there.rrd is there already: name another file"),
        (("data", "--save", "new.rrd", "--web"), "--save and --web exclude each other"),
        (("data",), "there is no display here: --web shows it in a browser"),
    ],
)
def test_bad_input_is_told_in_one_line(dataset, tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "empty").mkdir()
    for name in ("file.txt", "there.rrd"):
        (tmp_path / name).write_text("mine")
    assert view(*arguments) == 1
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert (tmp_path / "there.rrd").read_text() == "mine" and not (tmp_path / "new.rrd").exists()


def test_a_film_that_is_damaged_is_told_and_the_others_are_shown(dataset, tmp_path, capsys):
    film = sorted((dataset.root / "videos/observation.images.front").rglob("*.mp4"))[0]
    film.write_bytes(film.read_bytes()[:200])
    assert view(dataset.root, "--save", tmp_path / "set.rrd") == 1
    assert "shown in part, video" in capsys.readouterr().out
    assert len(Rrd(tmp_path / "set.rrd")) == 3


def test_without_the_viewer_installed_the_remedy_is_told(dataset, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rerun", None)
    for module in ("viewer", "shown", "log", "desk", "datasets", "recordings"):
        monkeypatch.delitem(sys.modules, f"genima_core.view.{module}", raising=False)
    assert view(dataset.root) == 1
    assert capsys.readouterr().err.endswith("in the source tree: make env, or pip install '.[view]'\n")


def test_a_page_is_served_to_this_machine_only(dataset, tmp_path):
    found, _ = find_shown(dataset.root, (0,))
    with viewer.serve(found, lambda brought: None) as (address, brought, process):
        assert len(brought) == 1 and not brought[0].problem and process.poll() is None
        with urllib.request.urlopen(address, timeout=30) as page:
            assert b"<html" in page.read().lower()
        own = [place.laddr.ip for place in psutil.Process(process.pid).net_connections() if place.status == "LISTEN"]
        assert len(own) == 2 and set(own) == {"127.0.0.1"}
    assert process.poll() is not None


def test_a_viewer_that_dies_is_told_and_not_waited_for(dataset):
    found, _ = find_shown(dataset.root, (0, 1))
    port = viewer.free_port(0)
    command = [viewer.executable(), "--serve-grpc", "--bind", viewer.HOST, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    viewer.wait_for(process, port)
    connect = viewer.to_port(port)

    def connect_and_kill(stream, shown) -> None:
        connect(stream, shown)
        stream.flush()
        process.kill()
        process.wait()

    with pytest.raises(RuntimeError, match="viewer ended with status -9: --web needs no display"):
        viewer.bring(found, connect_and_kill, print, lambda: viewer.check_running(process))


def test_no_two_labels_of_a_table_break_it():
    assert about([("a", "b|c\nd"), ("empty", ""), ("none", None)]).splitlines()[2:] == ["| a | b\\|c d |"]


def test_recordings_are_numbered_by_their_names(recordings, tmp_path):
    found, left_out = find_shown(recordings, (1,))
    assert [(shown.number, shown.name, shown.suspect) for shown in found] == [(1, "episode_000001, push_button", True)]
    assert not left_out
    replaced = replace(found[0], failed=True)
    assert replaced.title == "episode_000001, push_button, failure, suspect" and replaced.trouble > found[0].trouble
