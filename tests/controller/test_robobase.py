import json
import os

import numpy as np
import pytest
import torch
import yaml
from transformers import CLIPTextModelWithProjection

from genima_core.cameras import CameraRig
from genima_core.controller.policy import Controller
from genima_core.importers.rlbench.rig import Q_ZERO
from genima_core.importers.robobase import convert_controller
from genima_core.language import TextEncoder

from . import published

HEAD = "actor.actor_model.action_head.weight"


@pytest.fixture(scope="module")
def agents():
    return {c.language: published.state_dict(c) for c in (published.TINY, published.SPEECHLESS)}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A text encoder of the width that the checkpoint reads."""
    folder = tmp_path_factory.mktemp("clip")
    spelling = TextEncoder.tiny(32)
    spelling.model.config.projection_dim = 512
    CLIPTextModelWithProjection(spelling.model.config).save_pretrained(folder)
    spelling.tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def source(tmp_path, agents):
    """The snapshot of a network that reads no instructions, which needs no text encoder."""
    return published.write(tmp_path / "controller_act", agents[False], published.settings(published.SPEECHLESS))


def rewrite(source, name, value):
    """Changes one value of config.yaml, by its dotted name."""
    path = source.with_name("config.yaml")
    settings = yaml.safe_load(path.read_text())
    *parents, last = name.split(".")
    part = settings
    for parent in parents:
        part = part[parent]
    part[last] = value
    path.write_text(yaml.safe_dump(settings))


@pytest.mark.parametrize(("convention", "offset"), [("vendor", Q_ZERO), ("rlbench", np.zeros(7))])
def test_converted_controller_gives_the_originals_numbers(rig, agents, clip, tmp_path, convention, offset):
    source = published.write(tmp_path / "controller_act", agents[True], published.settings(published.TINY))
    summary = convert_controller(source, tmp_path / "out", rig, clip, convention)
    controller = Controller.load(tmp_path / "out")
    b = published.batch(published.TINY)
    zero = torch.from_numpy(offset).float()
    with torch.inference_mode():
        joints = controller.model(b.images, b.q + zero, b.gripper, b.text).joints - zero
    expected = torch.tensor([2.191299, 1.824887, -1.095927, 1.292543, 1.890681, 0.608971, 3.510688])  # see test_act
    torch.testing.assert_close(joints[0, 0], expected, atol=1e-4, rtol=0)
    drawing = (b.images[0] * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert controller.act(drawing, [0.0, 0, 0, -1.5, 0, 1.5, 0], 1.0, "push the button")[0].shape == (5, 7)
    assert json.loads(json.dumps(summary)) == summary and summary["parameters"] > 11e6
    ignored = [name for names in summary["ignored"].values() for name in names]
    assert set(ignored) < set(agents[True]) and summary["tensors"] + len(ignored) == len(agents[True])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["controller_act", "out"]


def test_cameras_are_in_the_order_of_the_configuration(rig, source, tmp_path):
    rewrite(source, "env.cameras", ["left_shoulder", "wrist", "front", "right_shoulder"])
    summary = convert_controller(source, tmp_path / "out", rig)
    written = CameraRig.load(tmp_path / "out/rig.json")
    assert list(written.names) == summary["cameras"] == ["left_shoulder", "wrist", "front", "right_shoulder"]
    assert written.differences(rig.in_order(written.names)) == ()


def test_without_language_no_text_encoder_is_needed(rig, source, tmp_path):
    assert convert_controller(source, tmp_path / "out", rig)["text_encoder"] is None
    assert not Controller.load(tmp_path / "out").model.config.language


def test_text_encoder_is_named_when_missing_and_must_fit(rig, agents, tmp_path):
    source = published.write(tmp_path / "controller_act", agents[True], published.settings(published.TINY))
    with pytest.raises(FileNotFoundError, match="hf download openai/clip-vit-base-patch32"):
        convert_controller(source, tmp_path / "out", rig)
    TextEncoder.tiny(32).save(tmp_path / "text")
    with pytest.raises(ValueError, match="gives 32 numbers, the controller reads 512"):
        convert_controller(source, tmp_path / "out", rig, str(tmp_path / "text"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", [".hydra/config.yaml", "../.hydra/config.yaml", "../../.hydra/config.yaml"])
def test_configuration_is_found_where_hydra_puts_it(rig, source, tmp_path, place):
    snapshots = tmp_path / "run" / "snapshots"
    snapshots.parent.mkdir()
    source.parent.rename(snapshots)
    target = snapshots / place
    target.parent.mkdir()
    (snapshots / "config.yaml").rename(target)
    assert convert_controller(snapshots / "latest.pt", tmp_path / "out", rig)["config"] == str(target.resolve())


@pytest.mark.parametrize("name", ["latest.pt", "config.yaml", "proprio_stats.json", "action_stats.json"])
def test_missing_files_are_named(rig, source, tmp_path, name):
    source.with_name(name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        convert_controller(source, tmp_path / "out", rig)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("latest.pt", b"no zip", "latest.pt cannot be read"),
        ("config.yaml", b"method: [", "is not YAML"),
        ("config.yaml", b"- 1", "must hold names with values"),
        ("config.yaml", b"!!python/object/apply:os.system ['true']", "is not YAML"),
        ("proprio_stats.json", b"{", "proprio_stats.json is damaged"),
        ("action_stats.json", b'{"mean": [1, 2], "std": [1, 2]}', "it needs 8 finite numbers"),
        ("action_stats.json", b'{"mean": 8, "std": [1, 2, 3, 4, 5, 6, 7, NaN]}', "it needs 8 finite numbers"),
    ],
)
def test_damaged_files_are_refused(rig, source, tmp_path, name, content, message):
    source.with_name(name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        convert_controller(source, tmp_path / "out", rig)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "method._target_",
            "robobase.method.diffusion.Diffusion",
            "only 'method.genima_act.GenimaACT' can be converted",
        ),
        ("frame_stack", 2, "frame_stack is 2; only 1"),
        ("frame_stack", "${frame_stack}", "refers to other names, and never to a value"),
        ("env.cameras", ["front", "wrist"], r"sees the cameras \['front', 'wrist'\], the rig has \['wrist', 'front'"),
        ("env.cameras", ["front", "wrist", "left_shoulder", "overhead"], "overhead"),
        ("env.action_mode", "END_EFFECTOR_POSE", "only 'JOINT_POSITION'"),
        ("visual_observation_shape", [64], "size of .*needs 2 values"),
        ("method.encoder_model.backbone", "resnet50", "only 'resnet18'"),
        ("method.encoder_model.use_lang_cond", True, "use_lang_cond is True; only False"),
        ("method.actor_model.pre_norm", True, "only False"),
        ("method.actor_model.nheads", "many", "heads of .* is 'many'"),
        ("action_sequence", 20, "of another shape: actor.actor_model.query_embed"),
    ],
)
def test_what_act_does_not_do_is_refused(rig, source, tmp_path, name, value, message):
    rewrite(source, name, value)
    with pytest.raises(ValueError, match=message):
        convert_controller(source, tmp_path / "out", rig)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop(HEAD), "missing: action_head.weight"),
        (
            lambda a: a.update({"actor.actor_model.memory.weight": torch.zeros(2)}),
            "unknown: actor.actor_model.memory.weight",
        ),
        (
            lambda a: a.update({"critic.weight": torch.zeros(2), "actor.other": torch.zeros(2)}),
            "unknown: actor.other, critic.weight",
        ),
        (
            lambda a: a.update(
                {"actor.encoder_model.backbone.0.resnet_film_model.conv1.weight": torch.zeros(64, 3, 7, 7)}
            ),
            "unknown: actor.encoder_model.backbone.0.body.conv1.weight, .*resnet_film_model.conv1.weight",
        ),
        (lambda a: a.update({HEAD: torch.zeros(14, 32)}), rf"{HEAD} \(14, 32\), not \(8, 32\)"),
        (lambda a: a.update({HEAD: torch.full((8, 32), torch.nan)}), f"not finite: {HEAD}"),
    ],
    ids=["missing", "extra", "foreign", "twice", "shape", "nan"],
)
def test_other_tensors_are_refused_by_name(rig, source, agents, tmp_path, change, message):
    agent = dict(agents[False])
    change(agent)
    published.write(source.parent, agent, published.settings(published.SPEECHLESS))
    with pytest.raises(ValueError, match=message):
        convert_controller(source, tmp_path / "out", rig)
    assert not (tmp_path / "out").exists()


def test_weights_of_clip_are_left_out(rig, source, agents, tmp_path):
    agent = {**agents[False], "clip_model.token_embedding.weight": torch.zeros(2)}
    published.write(source.parent, agent, published.settings(published.SPEECHLESS))
    summary = convert_controller(source, tmp_path / "out", rig)
    assert summary["ignored"]["the text encoder has its own folder"] == ["clip_model.token_embedding.weight"]


class Payload:
    """What a pickle can do to those who load it."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("key", ["cfg", "agent"])
def test_nothing_in_a_pickle_is_executed(rig, source, tmp_path, key):
    evidence = tmp_path / "evidence"
    for function, arguments in (
        (os.mkdir, (str(evidence),)),
        (open, (str(evidence), "w")),
        (exec, (f"open({str(evidence)!r}, 'w')",)),
    ):
        torch.save({"agent": {"actor.x": torch.zeros(1)}, key: Payload(function, *arguments)}, source)
        with pytest.raises(ValueError, match=r"asks for \S+, which weights do not need; nothing was executed"):
            convert_controller(source, tmp_path / "out", rig)
        assert not evidence.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"model": {}}, r"holds \['model'\]"),
        ({"agent": {}}, "no state dict"),
        ({"agent": {"actor.x": 3}}, "no state dict"),
        ([1], "holds list"),
    ],
)
def test_files_without_an_agent_are_refused(rig, source, tmp_path, payload, message):
    torch.save(payload, source)
    with pytest.raises(ValueError, match=message):
        convert_controller(source, tmp_path / "out", rig)


def test_something_else_is_not_overwritten(rig, source, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="is not a controller"):
        convert_controller(source, tmp_path / "out", rig)
