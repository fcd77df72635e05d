import json
from dataclasses import replace

import pytest
import torch

from genima_core.controller.config import NETWORKS, PRESETS, TrainConfig, load_config
from genima_core.controller.diffusion_policy import RangeStatistics
from genima_core.controller.goal import GoalStatistics
from genima_core.controller.kinematics import DrawnFrames
from genima_core.controller.network import Statistics
from genima_core.controller.train import train_controller
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
    batch = synthetic.windows(rig, 40, seed=0, chunk=5, episodes=4)
    kind = NETWORKS[name].statistics_type
    found = kind.measure(batch["q"], batch["actions"], batch["is_pad"], DrawnFrames(rig))
    found.save(tmp_path / "statistics.json")
    read = kind.load(tmp_path / "statistics.json", 5)
    for key, value in vars(found).items():
        torch.testing.assert_close(value, vars(read)[key])
        assert value.shape == vars(kind.unit(5))[key].shape
    model = NETWORKS[name](TINY[name], rig, found)
    assert set(vars(model.statistics)) == set(vars(found))


def test_padding_counts_in_no_statistics(rig):
    actions = torch.randn(50, 5, 7)
    is_pad = torch.zeros(50, 5, dtype=torch.bool)
    is_pad[:, 3:] = True
    frames = DrawnFrames(rig)
    first = Statistics.measure(actions[:, 0], actions, is_pad, frames)
    second = Statistics.measure(actions[:, 0], actions + 9 * is_pad[..., None], is_pad, frames)
    torch.testing.assert_close(first.action_mean, second.action_mean)
    torch.testing.assert_close(first.action_mean, actions[:, :3].mean((0, 1)))


@pytest.mark.parametrize("kind", [Statistics, GoalStatistics, RangeStatistics])
@pytest.mark.parametrize("change", [{"q_std": [1.0] * 6}, {"action_mean": [[0.0] * 7]}, {"q_mean": [float("nan")] * 7}])
def test_statistics_of_other_shapes_are_refused(tmp_path, kind, change):
    path = tmp_path / "statistics.json"
    kind.unit(5).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=f"{next(iter(change))} in .*statistics.json is"):
        kind.load(path, 5)


def test_statistics_of_another_network_are_refused(tmp_path):
    Statistics.unit(5).save(tmp_path / "statistics.json")
    with pytest.raises(ValueError, match="goal_precision"):
        GoalStatistics.load(tmp_path / "statistics.json", 5)
    assert replace(Statistics.unit(5)).action_mean.shape == (7,)
