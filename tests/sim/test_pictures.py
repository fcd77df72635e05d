import numpy as np
from PIL import Image

from genima_core.sim import pictures
from genima_core.sim.perturbations import PERTURBATIONS
from genima_core.sim.task import make_task, task_names
from genima_ros.cli.tasks import tasks


def test_the_pictures_are_those_that_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "task_names", lambda: ("push_button",))
    monkeypatch.setattr(pictures, "PERTURBATIONS", {"lighting": PERTURBATIONS["lighting"]})
    written = list(pictures.save_pictures(tmp_path))
    names = ["tasks/push_button", "perturbations/none", "perturbations/lighting", "perturbations/all"]
    assert written == [tmp_path / f"{name}.png" for name in names]
    shown = [np.asarray(Image.open(path).convert("RGB")).astype(int) for path in written]
    assert [picture.shape for picture in shown] == [(256, 512, 3), *3 * [(256, 256, 3)]]
    assert np.abs(shown[2] - shown[1]).mean() > 5
    assert np.abs(shown[3] - shown[2]).mean() > 5


def test_an_expert_is_seen_at_work():
    task = make_task(pictures.PERTURBED_TASK)
    assert task.name in task_names()
    difference = np.abs(pictures.at_work(task.name)[:, :256].astype(int) - pictures.perturbed("none"))
    assert (difference.max(axis=-1) > 40).mean() > 0.05


def test_the_verb_lists_everything(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    tasks()
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*task_names(), *PERTURBATIONS))
    assert make_task("open_drawer").instructions[0] in shown
