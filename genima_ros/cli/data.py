"""`genima data info`, `check`, `merge`, `split` and `drop`."""

from pathlib import Path

import tyro

from genima_core.files import write_json


def info(dataset: tyro.conf.Positional[Path], json: Path | None = None) -> None:
    """Shows what a data set holds.

    Example: genima data info data/push_button

    Args:
        dataset: Its folder.
        json: File for the same as JSON.
    """
    from rich.console import Console
    from rich.table import Table

    from genima_core.data.dataset import Dataset
    from genima_core.data.edit import describe

    held = describe(Dataset(dataset))
    write_json(json, held)
    table = Table("task", "episodes", "successes", "frames", "instructions", box=None, padding=(0, 2, 0, 0))
    for name, task in held["tasks"].items():
        table.add_row(name, *map(str, task.values()))
    width, height = held["size"]
    print(
        f"{dataset}: {held['episodes']} episodes, {held['frames']} frames at {held['fps']} per second, "
        f"{held['bytes'] / 1e6:.0f} MB\n"
        f"arm {held['arm']}, cameras {', '.join(held['cameras'])} of {width}x{height} pixels"
    )
    Console().print(table)


def check(dataset: tyro.conf.Positional[Path]) -> int:
    """Reads and decodes a whole data set, and says what is wrong with it.

    Exit status 1 if anything is.

    Example: genima data check data/push_button

    Args:
        dataset: Its folder.
    """
    from genima_core.data.dataset import Dataset
    from genima_core.data.edit import problems

    opened, found = Dataset(dataset), 0
    for problem in problems(opened):
        print(problem, flush=True)
        found += 1
    print(f"{dataset}: {len(opened)} episodes, {found or 'no'} problem{'' if found == 1 else 's'}")
    return 1 if found else 0


def merge(datasets: tyro.conf.Positional[tuple[Path, ...]], out: Path) -> None:
    """Joins data sets of one camera rig and rate into a new one.

    Example: genima data merge data/monday data/tuesday --out data/week

    Args:
        datasets: Their folders, in order.
        out: Folder of the new one.
    """
    from genima_core.data.dataset import Dataset
    from genima_core.data.edit import copy

    opened = [Dataset(dataset) for dataset in datasets]
    copy([(dataset, index) for dataset in opened for index in range(len(dataset))], out)
    print(f"{out}: {sum(map(len, opened))} episodes")


def split(dataset: tyro.conf.Positional[Path], parts: dict[str, float], out: Path) -> None:
    """Splits a data set, each of its tasks alike, into new ones.

    Example: genima data split data/push_button --parts train 0.9 test 0.1 --out data/push_split

    Args:
        dataset: Its folder.
        parts: Names of the parts, and which share each gets.
        out: Folder for the parts, each in a folder of its name.
    """
    from genima_core.data.dataset import Dataset
    from genima_core.data.edit import check_absent, copy, shares
    from genima_core.files import check_name

    opened = Dataset(dataset)
    chosen = shares(opened, {check_name(name, "a part"): share for name, share in parts.items()})
    check_absent(out)
    for name, episodes in chosen.items():
        copy([(opened, index) for index in episodes], out / name)
        print(f"{out / name}: {len(episodes)} episodes")


def drop(
    dataset: tyro.conf.Positional[Path],
    out: Path,
    episodes: tuple[int, ...] = (),
    tasks: tuple[str, ...] = (),
    failures: bool = False,
) -> None:
    """Copies a data set without some of its episodes.

    Example: genima data drop data/push_button --episodes 3 17 --failures --out data/push_clean

    Args:
        dataset: Its folder.
        out: Folder of the new one.
        episodes: Numbers of episodes to leave out, counted from 0.
        tasks: Names of tasks to leave out.
        failures: Leave out failed demonstrations.
    """
    from genima_core.config import pick
    from genima_core.data.dataset import Dataset
    from genima_core.data.edit import copy

    opened = Dataset(dataset)
    if unknown := [number for number in episodes if not 0 <= number < len(opened)]:
        raise ValueError(f"no episode {unknown[0]}; {dataset} holds {len(opened)}, counted from 0")
    for task in tasks:
        pick(dict.fromkeys(opened.tasks), task, "the task")
    if not (episodes or tasks or failures):
        raise ValueError("nothing to leave out; name --episodes, --tasks or --failures")
    kept = [
        index
        for index, (task, success) in enumerate(zip(opened.tasks, opened.successes, strict=True))
        if not (index in episodes or task in tasks or (failures and not success))
    ]
    copy([(opened, index) for index in kept], out)
    print(f"{out}: {len(kept)} episodes, {len(opened) - len(kept)} left out")


VERBS = (info, check, merge, split, drop)
