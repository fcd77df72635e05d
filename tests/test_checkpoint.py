import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from genima_core import checkpoint as module
from genima_core.cameras import CameraRig
from genima_core.checkpoint import FORMAT, Checkpoint, CheckpointInfo, Parts, assemble, git_revision, model_card
from genima_core.data.dataset import DatasetWriter
from genima_core.evaluation.config import SUITES
from genima_core.files import write_json
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task
from genima_core.targets.gate import GateConfig
from genima_core.targets.look import OURS, RELEASED

from .data import synthetic as recorded

ROOT = Path(__file__).parents[1]


@pytest.fixture
def info():
    return CheckpointInfo(
        FORMAT,
        "demo",
        ("push_button",),
        ("push the button",),
        20,
        0.05,
        64,
        default_rig(64, 64).fingerprint(),
        "abc",
        (0, 1, 2),
        "0123",
    )


@pytest.fixture
def folder(tmp_path, info):
    for part, file in (("diffusion", "agent.json"), ("controller", "config.json")):
        (tmp_path / part).mkdir()
        (tmp_path / part / file).write_text(json.dumps({"size": [64, 64]}))
    default_rig(64, 64).save(tmp_path / "rig.json")
    (tmp_path / "checkpoint.json").write_text(json.dumps(asdict(info)))
    (tmp_path / "gate.json").write_text(json.dumps(asdict(GateConfig(reach_m=0.07, noise_levels=20.0))))
    return tmp_path


def test_opens_what_belongs_together(folder, info):
    checkpoint = Checkpoint.open(folder)
    assert checkpoint.info == info
    assert checkpoint.rig.names == ("wrist", "front", "right_shoulder", "left_shoulder")


def test_an_instruction_that_was_not_taught_is_named(folder):
    checkpoint = Checkpoint.open(folder)
    assert checkpoint.unknown_instruction("Push  the button") == checkpoint.unknown_instruction("") == ""
    assert "never taught 'pour a glass of milk'" in checkpoint.unknown_instruction("pour a glass of milk")
    assert "it knows 'push the button'" in checkpoint.unknown_instruction("push the button and wait")


def test_the_shipped_checkpoint_knows_every_instruction_of_its_tasks():
    checkpoint = Checkpoint.open(ROOT / "checkpoints/demo")
    assert checkpoint.info.tasks == tuple(sorted(SUITES["demo"]))
    for task in map(make_task, checkpoint.info.tasks):
        for text in (text.format(variation) for text in task.instructions for variation in task.variations):
            assert checkpoint.unknown_instruction(text) == ""
        assert all(checkpoint.unknown_instruction(text.format(task.variations[0])) for text in task.paraphrases)


@pytest.mark.parametrize("part", ["checkpoint.json", "rig.json", "gate.json", "diffusion", "controller"])
def test_names_the_missing_part_and_the_remedy(folder, part):
    path = folder / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{part} is missing.*the shipped checkpoints/demo"):
        Checkpoint.open(folder)


def test_parts_of_different_looks_are_refused(folder):
    assert Checkpoint.open(folder).look == OURS
    told = json.dumps({"size": [64, 64], "look": asdict(RELEASED)})
    (folder / "diffusion/agent.json").write_text(told)
    with pytest.raises(ValueError, match="draws targets of another look than the controller follows"):
        Checkpoint.open(folder)
    (folder / "controller/config.json").write_text(told)
    assert Checkpoint.open(folder).look == RELEASED
    assert Checkpoint.open(folder).gate().look == RELEASED


def test_an_agent_for_another_number_of_cameras_is_refused(folder):
    (folder / "diffusion/agent.json").write_text(json.dumps({"size": [64, 64], "views": 2}))
    with pytest.raises(
        ValueError, match=r"draws onto 2 views, and .*rig.json has the cameras wrist, front, .*as many as"
    ):
        Checkpoint.open(folder)


def test_the_gate_has_the_checkpoints_limits_but_for_those_that_are_given(folder):
    @dataclass(frozen=True)
    class OfANode(GateConfig):
        device: str = "cpu"

    gate = Checkpoint.open(folder).gate(OfANode(reach_m=0.03))
    assert gate.config == GateConfig(reach_m=0.03, noise_levels=20.0)
    (folder / "gate.json").write_text('{"reach_m": -1.0}')
    with pytest.raises(ValueError, match="reach_m is -1.0; it must be positive"):
        Checkpoint.open(folder).gate()


def test_refuses_damage(folder):
    (folder / "checkpoint.json").write_text('{"format": 1')
    with pytest.raises(ValueError, match="damaged"):
        Checkpoint.open(folder)


def test_refuses_another_format(folder):
    (folder / "checkpoint.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="format 99"):
        Checkpoint.open(folder)


def test_refuses_the_rig_of_another_cell(folder):
    default_rig(128, 128).save(folder / "rig.json")
    with pytest.raises(ValueError, match="trained with"):
        Checkpoint.open(folder)


def test_a_controller_for_other_cameras_is_refused(tmp_path):
    with DatasetWriter(tmp_path / "data", recorded.rig(32)) as writer:
        writer.add(recorded.episode(0))
    for folder, name in (("agent", "agent.json"), ("controller", "config.json")):
        write_json(tmp_path / folder / name, {"size": [32, 32], "chunk_size": 20, "dt_s": 0.05})
    parts = Parts(tmp_path / "data", tmp_path / "agent", tmp_path / "controller", tmp_path / "out")
    default_rig(32, 32).save(tmp_path / "controller/rig.json")
    with pytest.raises(ValueError, match="controller was made for other cameras than those of .*data: wrist"):
        assemble(parts)
    recorded.rig(32).save(tmp_path / "controller/rig.json")
    assemble(parts)
    assert Checkpoint.open(tmp_path / "out").info.seeds == (0,)


def test_views_are_in_the_order_of_the_agents_tiles(tmp_path):
    """Where the controller's network does not depend on it."""
    rig = recorded.rig(32)
    with DatasetWriter(tmp_path / "data", rig) as writer:
        writer.add(recorded.episode(0))
    order = rig.names[::-1]
    agent = {"size": [32, 32], "cameras": order}
    chunks = {"size": [32, 32], "chunk_size": 20, "dt_s": 0.05, "network": "act"}
    write_json(tmp_path / "agent/agent.json", agent)
    write_json(tmp_path / "controller/config.json", chunks)
    rig.save(tmp_path / "controller/rig.json")
    parts = Parts(tmp_path / "data", tmp_path / "agent", tmp_path / "controller", tmp_path / "out")
    assemble(parts)
    checkpoint = Checkpoint.open(tmp_path / "out")
    assert checkpoint.rig.names == checkpoint.gate().rig.names == order
    assert CameraRig.load(tmp_path / "out/controller/rig.json").names == order
    assert CameraRig.load(tmp_path / "controller/rig.json").names == rig.names
    rig.save(tmp_path / "out/rig.json")
    write_json(tmp_path / "out/checkpoint.json", {**asdict(checkpoint.info), "rig": rig.fingerprint()})
    with pytest.raises(ValueError, match=f"draws for the cameras {', '.join(order)}, and .*rig.json has the cameras"):
        Checkpoint.open(tmp_path / "out")
    write_json(tmp_path / "controller/config.json", {**chunks, "network": "keypoint-act"})
    with pytest.raises(ValueError, match="its network depends on their order; train one of them anew in the other's"):
        assemble(parts)
    write_json(tmp_path / "agent/agent.json", {**agent, "cameras": ["a", "b", "c", "d"]})
    with pytest.raises(ValueError, match=r"draws for the cameras a, b, c, d, and .*data has .*\(--cameras\)"):
        assemble(parts)


def test_the_revision_is_that_of_a_tree_that_holds_the_code(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(("git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments), cwd=tmp_path, check=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "something else")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "checkpoint.py"))
    assert git_revision() == "unknown"


def test_the_model_card_says_what_was_measured(info):
    score = {"parameters": 1_500_000, "steps": 10, "minutes": 2.0, "samples_per_s": 3.0, "scores": {"found": 0.5}}
    result = {
        "task": "push_button",
        "targets": "drawn",
        "seeds": [20000, 20001],
        "successes": 1,
        "episodes": 2,
        "success_rate": 0.5,
        "success_interval_95": [0.09, 0.91],
    }
    scores = {"diffusion": score, "controller": score}
    drawn = {"draw_found_rate": 0.0, "draw_error_px_median": None, "draw_error_px_p90": None}
    result |= drawn | {"follow_error_cm_median": 0.5, "follow_drawn_error_cm_median": 9.0}
    wrong = {"tasks": [{**result, "instruction": "wrong", "successes": 0}]}
    several = {"tasks": [{**result, "task": "open_box"}], "variants": {"wrong": wrong}}
    card = model_card(info, (3, 99), "collected", scores, [result, several], "Apache-2.0", "make demo-checkpoint")
    assert "| task | drawn | drawn, wrong |" in card
    assert "0.0% of the visible spheres found in drawings of new scenes; gripper 0.5 cm from" in card
    assert "| open_box | 1 of 2 (9% to 91%) |  |" in card
    assert "| push_button | 1 of 2 (9% to 91%) | 0 of 2 (9% to 91%) |" in card
    assert "3 scripted demonstrations in simulation, scene seeds 0 to 2" in card
    assert "Licence: Apache-2.0." in card
    assert "`make demo-checkpoint` repeats it" in card
    assert "Imported" not in card


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("converted from recordings", "3 demonstrations, converted from recordings (99 frames)"),
        ("converted from RLBench", "3 demonstrations, converted from RLBench"),
        (None, "3 demonstrations, of unknown origin"),
    ],
)
def test_the_model_card_of_what_was_not_scripted_claims_nothing(info, made, words):
    card = model_card(info, (3, 99), made, {})
    assert words in card
    assert "Imported, not trained here: diffusion and controller" in card
    assert not any(claim in card for claim in ("Licence", "Apache", "scripted", "repeats it", "real robot"))
