"""`genima eval`: closed-loop success, and where drawing or following loses it."""

import json as json_module
from collections import defaultdict
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest

from genima_core.checkpoint import Checkpoint
from genima_core.data.video import encode
from genima_core.evaluation import sources
from genima_core.evaluation.rollout import Rollout, roll_out
from genima_core.evaluation.scoring import Scores, score
from genima_core.evaluation.sources import Targets
from genima_core.policy import Policy
from genima_core.sim.cell import Cell
from genima_core.sim.task import make_task
from genima_core.streaming.config import StreamerConfig
from genima_core.targets.renderer import TargetRenderer


def evaluate(
    task: tyro.conf.Positional[str],
    episodes: int = 50,
    seed: int = 20000,
    checkpoint: Path = Path("checkpoints/demo"),
    targets: Targets = "drawn",
    execution_horizon: int = 0,
    timeout_s: float = 12.0,
    steps: int | None = None,
    score_episodes: int = 20,
    device: str = "cpu",
    precision: str | None = None,
    compiled: bool = False,
    video: Path | None = None,
    json: Path | None = None,
) -> None:
    """Runs a checkpoint closed loop in simulation, on scenes it was not trained on.

    Args:
        task: What to do, e.g. push_button.
        episodes: Scenes to try.
        seed: First scene; seeds below 10000 are for training, below 20000 for tuning.
        checkpoint: Checkpoint folder.
        targets: drawn by the agent; truth (perfect targets); or the controls: shuffled (the agent sees the
            expert in another episode, the next seed's) and blank (no targets).
        execution_horizon: Actions of each chunk to execute; 0 means all.
        timeout_s: Simulated seconds an episode may take.
        steps: Denoising steps; the checkpoint's own number by default.
        score_episodes: Demonstrations on which drawing and following are scored apart; 0 skips it.
        device: Torch device.
        precision: Of drawing: float32, float16 or bfloat16; by default half precision on a GPU only.
        compiled: Compile the drawing networks: faster drawings, a start that takes one or two minutes more.
        video: Folder for one video an episode.
        json: File for the results.
    """
    if episodes < 1:
        raise ValueError(f"--episodes is {episodes}; at least 1 is needed")
    make_task(task)
    trained_on = sorted(set(Checkpoint.open(checkpoint).info.seeds) & set(range(seed, seed + episodes)))
    if trained_on:
        raise ValueError(
            f"the checkpoint was trained on seeds {trained_on[0]} to {trained_on[-1]}; "
            "evaluate on others, e.g. --seed 20000"
        )
    policy = Policy.load(checkpoint, device, precision, compiled)
    if steps is not None:
        policy = policy.with_steps(steps)
    config = StreamerConfig(execution_horizon=execution_horizon)
    cell = Cell(make_task(task), policy.checkpoint.rig)
    renderer = TargetRenderer(policy.checkpoint.rig)
    scores = score(cell, policy, renderer, range(seed, seed + score_episodes), stride=10) if score_episodes else None

    rollouts: list[Rollout] = []
    for episode in track(range(seed, seed + episodes), description=f"{task}, {targets} targets"):
        cell.reset(episode)
        other = None
        if targets == "shuffled":
            draw, other = sources.shuffled(policy, task, other_seed=episode + 1)
        else:
            draw = {
                "drawn": lambda: sources.drawn(policy),
                "blank": lambda: sources.blank(cell),
                "truth": lambda: sources.truth(cell, renderer, policy.checkpoint.info.chunk_size),
            }[targets]()
        rollout = roll_out(cell, policy, draw, episode, timeout_s, config, record=video is not None)
        if other is not None:
            other.close()
        if video is not None:
            name = f"{episode}_{targets}_{'success' if rollout.success else 'failure'}.mp4"
            video.mkdir(parents=True, exist_ok=True)
            encode(video / name, np.stack(rollout.frames), fps=10, crf=20)
        rollouts.append(rollout)
    cell.close()
    renderer.close()
    results = summarise(task, checkpoint, targets, rollouts, scores)
    print_report(results)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_text(json_module.dumps(results, indent=2) + "\n")


def summarise(task: str, checkpoint: Path, targets: str, rollouts: list[Rollout], scores: Scores | None) -> dict:
    """The results as JSON takes them."""
    successes = sum(r.success for r in rollouts)
    interval = binomtest(successes, len(rollouts)).proportion_ci(method="wilson")
    stages, stops = defaultdict(list), defaultdict(int)
    for rollout in rollouts:
        for stage, values in rollout.stage_ms.items():
            stages[stage].extend(values)
        for reason, count in rollout.stops.items():
            stops[reason] += count
    return {
        "task": task,
        "checkpoint": str(checkpoint),
        "targets": targets,
        "seeds": [r.seed for r in rollouts],
        "episodes": len(rollouts),
        "successes": successes,
        "success_rate": successes / len(rollouts),
        "success_interval_95": [interval.low, interval.high],
        "success_by_seed": {r.seed: r.success for r in rollouts},
        "duration_s_median": float(np.median([r.duration_s for r in rollouts])),
        "drawings_median": float(np.median([r.drawings for r in rollouts])),
        "stage_ms": {
            stage: {"median": float(np.median(v)), "p95": float(np.quantile(v, 0.95))} for stage, v in stages.items()
        },
        "limit_violations": sum(r.limit_violations for r in rollouts),
        "stops": dict(stops),
        **(scores.to_dict() if scores is not None else {}),
    }


def print_report(results: dict) -> None:
    """The results as a person reads them."""
    console, (low, high) = Console(), results["success_interval_95"]
    console.print(
        f"[bold]{results['task']}, {results['targets']} targets: {results['successes']} of "
        f"{results['episodes']} ({100 * results['success_rate']:.0f} %, 95 % interval {100 * low:.0f} to "
        f"{100 * high:.0f} %)[/bold], median {results['duration_s_median']:.1f} s"
    )
    stages = Table("stage", "median ms", "p95 ms")
    for stage, times in results["stage_ms"].items():
        stages.add_row(stage, f"{times['median']:.1f}", f"{times['p95']:.1f}")
    console.print(stages)
    if "draw" not in results:
        return
    drawing = Table("drawing: found of visible, px", *(targets := list(next(iter(results["draw"].values())))))
    for camera, row in results["draw"].items():
        drawing.add_row(
            camera, *(f"{row[t]['found']}/{row[t]['visible']}  {row[t]['error_px_median']:.2f}" for t in targets)
        )
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
