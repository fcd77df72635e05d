"""`genima eval`."""

from pathlib import Path

import tyro

from genima_core.evaluation.config import Evaluation
from genima_core.files import write_json


def eval(evaluation: tyro.conf.OmitArgPrefixes[Evaluation], json: Path | None = None) -> None:
    """Runs a checkpoint closed loop in simulation, without ROS.

    Example: genima eval push_button --episodes 20 --targets truth

    Args:
        json: File for the results.
    """
    from genima_core.evaluation.report import evaluate, print_report

    results = evaluate(evaluation)
    print_report(results)
    write_json(json, results)
