"""The results of an evaluation, for machines and for people."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from genima_core.evaluation.config import Evaluation
from genima_core.evaluation.rollout import Rollout

CONDITIONS = (
    "targets",
    "instruction",
    "perturb",
    "execution",
    "execution_horizon",
    "latency_s",
    "gate",
    "timeout_s",
    "denoising_steps",
    "precision",
)
"""What of an `Evaluation` can change the results."""


def summarise(
    evaluation: Evaluation, task: str, rollouts: Sequence[Rollout], scores: Mapping[str, Any]
) -> dict[str, Any]:
    """The results of one task as JSON takes them; `scores` as of `summarise_scores`, or empty."""
    successes = sum(r.success for r in rollouts)
    interval = binomtest(successes, len(rollouts)).proportion_ci(method="wilson")
    stages: dict[str, list[float]] = defaultdict(list)
    stops: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for rollout in rollouts:
        for stage, values in rollout.stage_ms.items():
            stages[stage].extend(values)
        stops.update(rollout.stops)
        rejected.update(rollout.rejected)
    return {
        "task": task,
        "checkpoint": str(evaluation.checkpoint),
        **{name: getattr(evaluation, name) for name in CONDITIONS},
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
        "rejected": dict(rejected),
        **scores,
    }


def summarise_tasks(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The results of several tasks, and their mean: each task counts the same."""
    rates = [result["success_rate"] for result in results]
    return {"tasks": list(results), "mean_success_rate": float(np.mean(rates)), "lowest_success_rate": min(rates)}


def print_report(results: dict[str, Any]) -> None:
    """The results as a person reads them."""
    if "tasks" not in results:
        _print_task(results)
        return
    columns = {"asked": results, **results["variants"]}
    first = results["tasks"][0]
    title = f"success in {first['episodes']} scenes, 95 % interval"
    table = Table("task", _asked(first), *results["variants"], title=title)
    for task in (result["task"] for result in results["tasks"]):
        found = [[r for r in column["tasks"] if r["task"] == task] for column in columns.values()]
        table.add_row(task, *(_rate(rows[0]) if rows else "-" for rows in found))
    table.add_section()
    table.add_row("mean", *(f"{100 * column['mean_success_rate']:.0f} %" for column in columns.values()))
    console = Console()
    console.print(table)
    if scored := [result for result in results["tasks"] if "draw_found_rate" in result]:
        scores = Table("task", "spheres found", "off, px", "true drawing followed to", "the agent's to")
        for r in scored:
            scores.add_row(
                r["task"],
                f"{100 * r['draw_found_rate']:.0f} %",
                _px(r["draw_error_px_median"]),
                f"{r['follow_error_cm_median']:.1f} cm",
                f"{r['follow_drawn_error_cm_median']:.1f} cm",
            )
        console.print(scores)


def _asked(result: Mapping[str, Any]) -> str:
    said = "" if result["instruction"] == "seen" else f"{result['instruction']} instructions"
    return ", ".join(part for part in (f"{result['targets']} targets", said, result["perturb"]) if part)


def _rate(result: Mapping[str, Any]) -> str:
    low, high = result["success_interval_95"]
    return f"{100 * result['success_rate']:.0f} % ({100 * low:.0f}-{100 * high:.0f})"


def _px(error_px: float | None) -> str:
    return "-" if error_px is None else f"{error_px:.2f}"


def _print_task(results: Mapping[str, Any]) -> None:
    console, (low, high) = Console(), results["success_interval_95"]
    console.print(
        f"[bold]{results['task']}, {_asked(results)}: {results['successes']} of "
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
        cells = [f"{row[t]['found']}/{row[t]['visible']}  {_px(row[t]['error_px_median'])}" for t in targets]
        drawing.add_row(camera, *cells)
    console.print(drawing)
    console.print(
        f"drawing: {100 * results['draw_found_rate']:.1f} % of the visible spheres found, median error "
        f"{_px(results['draw_error_px_median'])} px, p90 {_px(results['draw_error_px_p90'])} px"
    )
    console.print(
        f"following: gripper {results['follow_error_cm_median']:.1f} cm from the target with true drawings, "
        f"{results['follow_drawn_error_cm_median']:.1f} cm with the agent's; joints "
        f"{results['follow_error_rad_by_joint']} rad with true drawings"
    )
