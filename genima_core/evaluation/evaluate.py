"""`genima eval`: closed-loop success by task, with the controls, and where drawing or following loses it."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.progress import Progress

from genima_core.checkpoint import Checkpoint
from genima_core.config import check_positive
from genima_core.data.video import encode
from genima_core.device import choose_device
from genima_core.environment import Environment, NoSuchWording
from genima_core.environments.make import check_environment, make_environment, task_in
from genima_core.evaluation.config import Evaluation, Workers, tasks_of
from genima_core.evaluation.report import summarise, summarise_tasks
from genima_core.evaluation.rollout import FRAMES_PER_S, Rollout, roll_out
from genima_core.evaluation.scoring import StateScore, score_scene, summarise_scores
from genima_core.evaluation.sources import TrueTargets, make_draw
from genima_core.evaluation.workers import run_jobs
from genima_core.policy import Policy
from genima_core.sim.perturbations import PERTURBATIONS, choose
from genima_core.streaming.config import StreamerConfig

ASKED = "asked"
"""The variant that was asked for itself."""
CONTROLS: dict[str, dict[str, Any]] = {
    "truth": {"targets": "truth"},
    "shuffled": {"targets": "shuffled"},
    "blank": {"targets": "blank"},
    "paraphrase": {"instruction": "paraphrase"},
    "wrong": {"instruction": "wrong"},
}


class Job(NamedTuple):
    """One episode, or, where `scored`, the expert's demonstration of the scene, drawn and followed state by state."""

    variant: str
    evaluation: Evaluation
    task: str
    seed: int
    scored: bool = False


def evaluate(evaluation: Evaluation, where: Workers = Workers()) -> dict[str, Any]:  # noqa: B008 (frozen)
    """The results as JSON takes them: of one task; or `tasks`, a list of such, with their mean, and `variants`.

    ValueError for a number, task, suite or perturbation that is not valid, and for scenes that the checkpoint was
    trained on.
    """
    tasks, variants = tasks_of(evaluation.tasks, evaluation.suite), variants_of(evaluation)
    checkpoint = _check(evaluation, tasks)
    rollouts: dict[tuple[str, str], list[Rollout]] = {(name, task): [] for name in variants for task in tasks}
    scores: dict[str, list[StateScore]] = {task: [] for task in tasks}
    warned = {""}
    jobs = [job for name, variant in variants.items() for task in tasks for job in _jobs(name, variant, task)]
    with Progress() as progress, closing(_kept), closing(run_jobs(run, jobs, where.workers, where.ray)) as results:
        bar = progress.add_task("", total=len(jobs))
        for job, result in results:
            if isinstance(result, list):
                scores[job.task] += result
            elif result is not None:
                rollouts[job.variant, job.task].append(result)
                warning = checkpoint.unknown_instruction(result.instruction)
                if job.evaluation.instruction == "seen" and warning not in warned:
                    warned.add(warning)
                    progress.console.print(f"warning: {warning}", highlight=False)
            progress.update(bar, advance=1, description=f"{job.task}, {job.variant}")
    scored = {task: summarise_scores(states, checkpoint.rig.names) for task, states in scores.items()}
    summaries = {
        name: [
            summarise(variant, task, done, scored[task] if name == ASKED else {})
            for task in tasks
            if (done := rollouts[name, task])
        ]
        for name, variant in variants.items()
    }
    asked = summaries.pop(ASKED)
    if not asked:
        given = f"none of {', '.join(tasks)} has an instruction of the kind {evaluation.instruction}"
        raise ValueError(f"{given}: a wrong one needs two variations, a paraphrase a second sentence")
    if len(tasks) == 1 and not summaries:
        return asked[0]
    return summarise_tasks(asked) | {"variants": {n: summarise_tasks(found) for n, found in summaries.items() if found}}


def variants_of(evaluation: Evaluation) -> Mapping[str, Evaluation]:
    """What is evaluated, by name: what was asked for, and its controls and perturbations one by one.

    ValueError: unknown perturbations.
    """
    each = evaluation.perturb == "each"
    asked = replace(evaluation, perturb="") if each else evaluation
    choose(asked.perturb)
    variants = {ASKED: asked}
    if evaluation.controls:
        variants |= {name: replace(asked, **change) for name, change in CONTROLS.items()}
    if each:
        variants |= {name: replace(asked, perturb=name) for name in (*PERTURBATIONS, "all")}
    return variants


def _check(evaluation: Evaluation, tasks: tuple[str, ...]) -> Checkpoint:
    """The checkpoint, if everything is valid and its scenes are new to it."""
    if evaluation.episodes < 1:
        raise ValueError(f"--episodes is {evaluation.episodes}; at least 1 is needed")
    check_positive(evaluation, "timeout_s")
    for task in tasks:
        check_environment(task)
    if evaluation.record is not None and evaluation.record.exists():
        raise FileExistsError(f"--record {evaluation.record} is there already: name a new folder, or remove it")
    checkpoint = Checkpoint.open(evaluation.checkpoint)
    seeds = range(evaluation.seed, evaluation.seed + max(evaluation.episodes, evaluation.score_episodes))
    if trained_on := sorted(set(checkpoint.info.seeds) & set(seeds)):
        trained = f"the checkpoint was trained on seeds {trained_on[0]} to {trained_on[-1]}"
        raise ValueError(f"{trained}; evaluate on others, e.g. --seed {max(20000, max(checkpoint.info.seeds) + 1)}")
    if strange := [task for task in tasks if task_in(task) not in checkpoint.info.tasks]:
        known = ", ".join(checkpoint.info.tasks)
        print(f"warning: the checkpoint was not trained on {', '.join(strange)}; it knows {known}", file=sys.stderr)
    return checkpoint


def _jobs(name: str, variant: Evaluation, task: str) -> Iterator[Job]:
    if name == ASKED:
        for seed in range(variant.seed, variant.seed + variant.score_episodes):
            yield Job(name, variant, task, seed, scored=True)
    for seed in range(variant.seed, variant.seed + variant.episodes):
        yield Job(name, variant, task, seed)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread: with more of them it rounds differently, and some episodes would end differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@_one_thread()
def run(job: Job) -> Rollout | list[StateScore] | None:
    """Carries out a job in this process; None where the task cannot be asked for in the wording of the job."""
    evaluation, task, seed = job.evaluation, job.task, job.seed
    device = choose_device(evaluation.device)
    policy = _policy(evaluation.checkpoint, device, evaluation.precision, evaluation.compiled)
    if evaluation.denoising_steps is not None:
        policy = policy.with_steps(evaluation.denoising_steps)
    environment, true_targets = _kept.get(task, policy.checkpoint, choose(evaluation.perturb))
    gate = policy.checkpoint.gate() if evaluation.gate else None
    config = StreamerConfig(execution=evaluation.execution, execution_horizon=evaluation.execution_horizon)
    name = f"{task.replace('/', '_')}_{seed}_{job.variant}"
    try:
        if job.scored:
            return score_scene(environment, policy, true_targets, seed, evaluation.instruction)
        rollout = roll_out(
            environment,
            policy,
            seed,
            make_draw(evaluation.targets, policy, environment, true_targets, seed),
            evaluation.timeout_s,
            config,
            gate,
            evaluation.latency_s,
            record=evaluation.video is not None,
            wording=evaluation.instruction,
            recording=None if evaluation.record is None else evaluation.record / name,
        )
    except NoSuchWording:
        return None
    if evaluation.video is not None:
        ending = "success" if rollout.success else "failure"
        evaluation.video.mkdir(parents=True, exist_ok=True)
        encode(evaluation.video / f"{name}_{ending}.mp4", np.stack(rollout.frames), fps=FRAMES_PER_S, crf=20)
    return replace(rollout, frames=[])


_policy = cache(Policy.load)
"""A process loads it once."""


class _Kept:
    """The environment that this process used last, for the next episode of the same task."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._parts: tuple[Environment, TrueTargets] | None = None

    def get(self, task: str, checkpoint: Checkpoint, perturbations: tuple[str, ...]) -> tuple[Environment, TrueTargets]:
        key = task, checkpoint.rig.fingerprint(), checkpoint.look, perturbations
        if key != self._key or self._parts is None:
            self.close()
            environment = make_environment(task, checkpoint.rig, perturbations)
            self._key, self._parts = key, (environment, TrueTargets(environment, checkpoint.look))
        return self._parts

    def close(self) -> None:
        for part in self._parts or ():
            part.close()
        self._parts = None


_kept = _Kept()
