"""`genima eval`: closed-loop success, and where drawing or following loses it."""

import sys
from collections import Counter, defaultdict
from contextlib import closing
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest

from genima_core.checkpoint import Checkpoint
from genima_core.data.video import encode
from genima_core.device import choose_device
from genima_core.evaluation.config import Evaluation
from genima_core.evaluation.rollout import Rollout, roll_out
from genima_core.evaluation.scoring import score
from genima_core.evaluation.sources import target_source
from genima_core.policy import Policy
from genima_core.sim.cell import Cell
from genima_core.sim.task import make_task
from genima_core.streaming.config import StreamerConfig
from genima_core.targets.renderer import TargetRenderer


def evaluate(evaluation: Evaluation) -> dict[str, Any]:
    """The results of an evaluation, as JSON takes them.

    ValueError for a number or task that is not valid, and for scenes that the checkpoint was trained on.
    """
    seeds = range(evaluation.seed, evaluation.seed + evaluation.episodes)
    if evaluation.episodes < 1:
        raise ValueError(f"--episodes is {evaluation.episodes}; at least 1 is needed")
    task = make_task(evaluation.task)
    if trained_on := sorted(set(Checkpoint.open(evaluation.checkpoint).info.seeds) & set(seeds)):
        trained = f"the checkpoint was trained on seeds {trained_on[0]} to {trained_on[-1]}"
        raise ValueError(f"{trained}; evaluate on others, e.g. --seed 20000")
    device = choose_device(evaluation.device)
    policy = Policy.load(evaluation.checkpoint, device, evaluation.precision, evaluation.compiled)
    if evaluation.denoising_steps is not None:
        policy = policy.with_steps(evaluation.denoising_steps)
    if unknown_instruction := policy.checkpoint.unknown_instruction(task.instruction):
        print(f"warning: {unknown_instruction}", file=sys.stderr)
    gate = policy.checkpoint.gate() if evaluation.gate else None
    config = StreamerConfig(execution=evaluation.execution, execution_horizon=evaluation.execution_horizon)
    scores: dict[str, Any] = {}
    rollouts: list[Rollout] = []
    rig = policy.checkpoint.rig
    with closing(Cell(task, rig)) as cell, closing(TargetRenderer(rig)) as renderer:
        if scored := range(evaluation.seed, evaluation.seed + evaluation.score_episodes):
            scores = score(cell, policy, renderer, scored, stride=10)
        for seed in track(seeds, description=f"{evaluation.task}, {evaluation.targets} targets"):
            timeout_s, latency_s, video = evaluation.timeout_s, evaluation.latency_s, evaluation.video
            with target_source(evaluation.targets, policy, cell, renderer, other_seed=seed + 1) as draw:
                rollout = roll_out(
                    cell, policy, seed, draw, timeout_s, config, gate, latency_s, record=video is not None
                )
            if video is not None:
                name = f"{seed}_{evaluation.targets}_{'success' if rollout.success else 'failure'}.mp4"
                video.mkdir(parents=True, exist_ok=True)
                encode(video / name, np.stack(rollout.frames), fps=10, crf=20)
            rollouts.append(rollout)
    return summarise(evaluation, rollouts, scores)


def summarise(evaluation: Evaluation, rollouts: list[Rollout], scores: dict[str, Any]) -> dict[str, Any]:
    """The results as JSON takes them; `scores` as of `score`, or empty."""
    successes = sum(r.success for r in rollouts)
    interval = binomtest(successes, len(rollouts)).proportion_ci(method="wilson")
    stages: dict[str, list[float]] = defaultdict(list)
    stops: Counter[str] = Counter()
    for rollout in rollouts:
        for stage, values in rollout.stage_ms.items():
            stages[stage].extend(values)
        stops.update(rollout.stops)
    return {
        "task": evaluation.task,
        "checkpoint": str(evaluation.checkpoint),
        "targets": evaluation.targets,
        "execution": evaluation.execution,
        "gate": evaluation.gate,
        "seeds": [r.seed for r in rollouts],
        "episodes": len(rollouts),
        "successes": successes,
        "success_rate": successes / len(rollouts),
        "success_interval_95": [interval.low, interval.high],
        "success_by_seed": {r.seed: r.success for r in rollouts},
        "paused": {r.seed: r.pause_reason for r in rollouts if r.ending == "paused"},
        "duration_s_median": float(np.median([r.duration_s for r in rollouts])),
        "drawings_median": float(np.median([r.drawings for r in rollouts])),
        "stage_ms": {s: {"median": float(np.median(v)), "p95": float(np.quantile(v, 0.95))} for s, v in stages.items()},
        "limit_violations": sum(r.limit_violations for r in rollouts),
        "stops": dict(stops),
        **scores,
    }


def print_report(results: dict[str, Any]) -> None:
    """The results as a person reads them."""
    console, (low, high) = Console(), results["success_interval_95"]
    console.print(
        f"[bold]{results['task']}, {results['targets']} targets: {results['successes']} of "
        f"{results['episodes']} ({100 * results['success_rate']:.0f} %, 95 % interval {100 * low:.0f} to "
        f"{100 * high:.0f} %)[/bold], median {results['duration_s_median']:.1f} s"
    )
    for seed, reason in results["paused"].items():
        console.print(f"seed {seed}: paused by the target gate: {reason}", highlight=False)
    stages = Table("stage", "median ms", "p95 ms")
    for stage, times in results["stage_ms"].items():
        stages.add_row(stage, f"{times['median']:.1f}", f"{times['p95']:.1f}")
    console.print(stages)
    if "draw" not in results:
        return
    drawing = Table("drawing: found of visible, px", *(targets := list(next(iter(results["draw"].values())))))
    for camera, row in results["draw"].items():
        cells = [f"{row[t]['found']}/{row[t]['visible']}  {row[t]['error_px_median']:.2f}" for t in targets]
        drawing.add_row(camera, *cells)
    console.print(drawing)
    console.print(
        f"drawing: {100 * results['draw_found_rate']:.1f} % of the visible spheres found, median error "
        f"{results['draw_error_px_median']:.2f} px, p90 {results['draw_error_px_p90']:.2f} px"
    )
    console.print(
        f"following: gripper {results['follow_error_cm_median']:.1f} cm from the target with true drawings, "
        f"{results['follow_drawn_error_cm_median']:.1f} cm with the agent's; joints "
        f"{results['follow_error_rad_by_joint']} rad with true drawings"
    )
