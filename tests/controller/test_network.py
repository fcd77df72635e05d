import json

import pytest
import torch

from genima_core.controller.act import Act
from genima_core.controller.config import NETWORKS, PRESETS, TrainConfig, load_config
from genima_core.controller.keypoint_act import KeypointAct
from genima_core.controller.kinematics import DrawnFrames
from genima_core.controller.policy import Controller
from genima_core.controller.train import train_controller
from genima_core.language import TextEncoder
from genima_core.training.config import ControllerTraining

from . import synthetic

TINY = {
    "act": synthetic.tiny_paper().model,
    "keypoint-act": synthetic.tiny().model,
    "diffusion-policy": synthetic.tiny_diffusion_policy().model,
}


def test_every_network_has_a_preset():
    assert {p.model.network for p in PRESETS.values()} == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_configuration_round_trip(tmp_path, name):
    TINY[name].save(tmp_path / "config.json")
    assert load_config(tmp_path / "config.json") == TINY[name]
    assert json.loads((tmp_path / "config.json").read_text())["network"] == name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "diffuser"}, "network is 'diffuser'; valid are .*act"),
        ({"network": None}, "network is None; valid are"),
        ({"hiden": 3}, r"act has no parameter hiden; valid are size"),
        ({"heads": 5}, "multiple of heads 5"),
    ],
)
def test_other_configurations_are_refused(tmp_path, change, message):
    path = tmp_path / "config.json"
    TINY["act"].save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        load_config(path)


def test_keys_that_are_missing_are_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"network": "act"}')
    with pytest.raises(ValueError, match="missing keys.*heads"):
        load_config(path)
    with pytest.raises(FileNotFoundError, match="config.json"):
        load_config(tmp_path / "nothing" / "config.json")


def test_presets(tmp_path):
    with pytest.raises(ValueError, match="preset is 'huge'; valid are demo, paper, diffusion-policy"):
        train_controller(ControllerTraining(tmp_path, tmp_path, preset="huge"))
    with pytest.raises(ValueError, match="give one of them"):
        TrainConfig(steps=3, epochs=4)
    with pytest.raises(ValueError, match="at least 1"):
        TrainConfig(batch_size=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_rig_and_network_agree_on_the_size_of_the_views(rig, name):
    with pytest.raises(ValueError, match="64x64 pixels, the network reads 32x32"):
        NETWORKS[name](TINY[name], rig)


@pytest.mark.parametrize("name", NETWORKS)
def test_statistics_of_windows_normalise_them(rig, tmp_path, name):
    rig = rig.resize(32, 32)
    config = TINY[name]
    batch = synthetic.windows(rig, 40, seed=0, chunk=config.chunk_size, episodes=4)
    kind = NETWORKS[name]
    found = kind.measure(batch["q"], batch["actions"], batch["is_pad"], DrawnFrames(rig))
    unit = kind.unit_statistics(config.chunk_size)
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in unit.items()}
    Controller(kind(config, rig, found), TextEncoder.tiny(config.text_dim)).save(tmp_path / "controller")
    read = kind.read_statistics(tmp_path / "controller/statistics.json", config.chunk_size)
    for key, value in found.items():
        torch.testing.assert_close(value, read[key])


def test_padding_counts_in_no_statistics(rig):
    actions = torch.randn(50, 5, 7)
    is_pad = torch.zeros(50, 5, dtype=torch.bool)
    is_pad[:, 3:] = True
    frames = DrawnFrames(rig)
    first = Act.measure(actions[:, 0], actions, is_pad, frames)
    second = Act.measure(actions[:, 0], actions + 9 * is_pad[..., None], is_pad, frames)
    torch.testing.assert_close(first["action_mean"], second["action_mean"])
    torch.testing.assert_close(first["action_mean"], actions[:, :3].mean((0, 1)))


def write_statistics(path, kind, **change):
    unit = {name: value.tolist() for name, value in kind.unit_statistics(5).items()}
    path.write_text(json.dumps({**unit, **change}))


@pytest.mark.parametrize("kind", NETWORKS.values())
@pytest.mark.parametrize("change", [{"q_std": [1.0] * 6}, {"action_mean": [[0.0] * 7]}, {"q_mean": [float("nan")] * 7}])
def test_statistics_of_other_shapes_are_refused(tmp_path, kind, change):
    path = tmp_path / "statistics.json"
    write_statistics(path, kind, **change)
    with pytest.raises(ValueError, match=f"{next(iter(change))} in .*statistics.json is"):
        kind.read_statistics(path, 5)


def test_statistics_of_another_network_are_refused(tmp_path):
    write_statistics(tmp_path / "statistics.json", Act)
    with pytest.raises(ValueError, match="goal_precision"):
        KeypointAct.read_statistics(tmp_path / "statistics.json", 5)
