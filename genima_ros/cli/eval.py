"""`genima eval`."""

from pathlib import Path

import tyro

from genima_core.evaluation.config import Evaluation, Workers
from genima_core.files import write_json


def eval(
    evaluation: tyro.conf.OmitArgPrefixes[Evaluation],
    where: tyro.conf.OmitArgPrefixes[Workers],
    json: Path | None = None,
) -> None:
    """Runs a checkpoint closed loop in simulation, without ROS.

    Example: genima eval push_button --episodes 20 --targets truth

    genima eval --suite demo --controls --workers 2

    Args:
        json: File for the results.
    """
    from genima_core.evaluation.evaluate import evaluate
    from genima_core.evaluation.report import print_report

    results = evaluate(evaluation, where)
    print_report(results)
    write_json(json, results)
