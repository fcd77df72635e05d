"""`genima eval`: which episodes are run for what was asked, what is refused, and what is told."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genima_core.environment import NoSuchWording
from genima_core.evaluation.config import DEMO, PAPER, Evaluation, Workers
from genima_core.evaluation.evaluate import Job, evaluate, run, variants_of
from genima_core.sim.perturbations import PERTURBATIONS
from genima_core.sim.task import task_names
from genima_ros.cli.eval import eval as verb

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "demo"


def evaluation(*tasks, **options):
    options = {"episodes": 1, "timeout_s": 0.3, "score_episodes": 0, **options}
    return Evaluation(tasks, checkpoint=CHECKPOINT, **options)


def test_one_task_gives_its_numbers_and_several_their_mean(tmp_path, capsys):
    verb(evaluation("push_button"), Workers(), tmp_path / "one.json")
    one = json.loads((tmp_path / "one.json").read_text())
    assert (one["task"], one["episodes"], one["instruction"], one["seeds"]) == ("push_button", 1, "seen", [20000])
    assert "push_button, drawn targets: 0 of 1" in capsys.readouterr().out
    verb(evaluation("push_button", "open_box"), Workers(2), tmp_path / "two.json")
    two = json.loads((tmp_path / "two.json").read_text())
    assert [result["task"] for result in two["tasks"]] == ["push_button", "open_box"]
    assert two["mean_success_rate"] == 0.0
    out, err = capsys.readouterr()
    assert "open_box" in out
    assert "the checkpoint was not trained on open_box; it knows" in err
    assert "never taught" in out


def test_controls_are_further_columns():
    result = evaluate(evaluation("pick_up_cup", controls=True))
    assert set(result["variants"]) == {"truth", "shuffled", "blank", "paraphrase", "wrong"}
    assert result["variants"]["truth"]["tasks"][0]["targets"] == "truth"
    assert result["variants"]["wrong"]["tasks"][0]["instruction"] == "wrong"


def test_perturbations_one_by_one_and_together():
    variants = variants_of(evaluation("push_button", perturb="each"))
    assert [variant.perturb for variant in variants.values()] == ["", *PERTURBATIONS, "all"]
    assert [v.perturb for v in variants_of(evaluation("push_button", perturb="lighting")).values()] == ["lighting"]
    with pytest.raises(ValueError, match=r"unknown perturbation 'fog'.*lighting"):
        evaluate(evaluation("push_button", perturb="lighting,fog"))


def test_a_wrong_instruction_asks_for_another_variation():
    job = Job("asked", evaluation("pick_up_cup", instruction="wrong"), "pick_up_cup", 20000)
    assert "blue cup" not in run(job).instruction  # which scene 20000 asks for
    assert "blue cup" in run(job._replace(evaluation=evaluation("pick_up_cup"))).instruction


def test_an_episode_is_the_same_on_any_number_of_threads(monkeypatch):
    """Torch rounds differently on one thread and on two, so it always has one."""
    threads = []

    def roll_out(*_, **__):
        threads.append(torch.get_num_threads())
        raise NoSuchWording

    monkeypatch.setattr("genima_core.evaluation.evaluate.roll_out", roll_out)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    run(Job("asked", evaluation("push_button"), "push_button", 20000))
    threads.append(torch.get_num_threads())
    torch.set_num_threads(before)
    assert threads == [1, 2]


def test_bad_requests_are_refused_before_anything_is_simulated(tmp_path):
    for bad, message in (
        (evaluation(), "name either tasks or a suite"),
        (evaluation("push_button", suite="demo"), "name either tasks or a suite"),
        (evaluation(suite="all"), "unknown suite 'all'; the suites are demo, paper25"),
        (evaluation("juggle"), "unknown task 'juggle'; the tasks are"),
        (evaluation("push_button", episodes=0), "--episodes is 0"),
        (evaluation("push_button", timeout_s=float("nan")), "timeout_s is nan; it must be positive"),
        (evaluation("push_button", seed=3), "the checkpoint was trained on seeds"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(bad)
    with pytest.raises(FileExistsError, match="is there already: name a new folder, or remove it"):
        evaluate(evaluation("push_button", record=tmp_path))
    with pytest.raises(ValueError, match="workers is 0; it must be at least 1"):
        Workers(0)


def test_scenes_that_are_only_scored_are_new_to_the_checkpoint_too(tmp_path):
    shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    info = json.loads((CHECKPOINT / "checkpoint.json").read_text())
    (tmp_path / "checkpoint/checkpoint.json").write_text(json.dumps({**info, "seeds": [20019]}))
    asked = replace(evaluation("push_button", score_episodes=20), checkpoint=tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="trained on seeds 20019 to 20019; .* --seed 20020"):
        evaluate(asked)


def test_suites_name_tasks_that_exist():
    assert set(DEMO) <= set(PAPER) == set(task_names())
    assert len(PAPER) == 25
