"""`genima tasks`."""

from pathlib import Path


def tasks(pictures: Path | None = None) -> None:
    """Lists the simulated tasks and the perturbations, or makes a picture of each.

    Example: genima tasks --pictures docs

    Args:
        pictures: Folder for the pictures: in tasks/ the expert at work, in perturbations/ a scene under each of them.
    """
    if pictures is not None:
        from genima_core.sim.pictures import save_pictures

        for path in save_pictures(pictures):
            print(path, flush=True)
        return
    from rich.console import Console
    from rich.table import Table

    from genima_core.sim.perturbations import PERTURBATIONS
    from genima_core.sim.task import make_task, task_names

    table = Table("task", "instruction", "variations", "success", box=None, padding=(0, 2, 1, 0))
    for task in map(make_task, task_names()):
        table.add_row(task.name, task.instructions[0], ", ".join(task.variations), task.goal)
    perturbations = Table("perturbation", "what changes", box=None, padding=(0, 2, 1, 0))
    for name, kind in PERTURBATIONS.items():
        perturbations.add_row(name, kind.summary)
    Console().print(table, perturbations)
