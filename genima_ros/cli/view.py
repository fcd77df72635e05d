"""`genima view`."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from genima_core.files import write_json
from genima_ros.cli.up import terminate_as_interrupt

if TYPE_CHECKING:
    from genima_core.view.shown import Shown
    from genima_core.view.viewer import Brought


def view(
    path: tyro.conf.Positional[Path],
    episodes: tuple[int, ...] = (),
    most: int = 20,
    save: Path | None = None,
    web: bool = False,
    json: Path | None = None,
) -> int:
    """Shows episodes, data sets, demo runs and evaluations on a timeline, in Rerun.

    Failures come first, then what is suspect. Exit status 1 if one of them could not be shown.

    Example: genima view recordings/push_button --episodes 0 3

    genima view runs/demo --save demo.rrd

    Args:
        path: A recorded episode, a folder of such, a data set, or a run of genima demo or genima eval --record.
        episodes: Numbers of those to show; by default all.
        most: Of many episodes, at most so many.
        save: File for Rerun (.rrd) instead of its viewer.
        web: In the browser instead, at an address of this machine.
        json: File for what was shown, and how long each took.
    """
    if most < 1:
        raise ValueError(f"--most is {most}; at least 1 is needed")
    if save is not None and web:
        raise ValueError("--save and --web exclude each other; name one of them")
    from genima_core.view import viewer
    from genima_core.view.shown import find_shown

    if save is not None:
        viewer.check_file(save)
    found, left_out = find_shown(path, episodes)
    for reason in left_out:
        print(f"left out: {reason}", flush=True)
    shown = found if episodes else found[:most]
    if len(shown) < len(found):
        print(f"{len(shown)} of {len(found)} episodes, those that went worst first; --most or --episodes shows others")
    if save is not None:
        brought = viewer.save(shown, save, _tell)
        count, size_mb = sum(each.shown for each in brought), save.stat().st_size / 1e6
        print(f"{save}: {count} episode{'s' * (count > 1)}, {size_mb:.1f} MB; to look at it: rerun - < {save}")
    elif web:
        brought = _serve(shown)
    else:
        brought = viewer.show(shown, _tell)
    write_json(json, {"episodes": [vars(each) for each in brought], "left_out": left_out})
    return 1 if left_out or any(each.problem for each in brought) else 0


def _tell(brought: "Brought") -> None:
    damage = f": {'shown in part' if brought.shown else 'left out'}, {brought.problem}" if brought.problem else ""
    print(f"{brought.title} ({brought.seconds:.1f} s){damage}", flush=True)


def _serve(shown: Sequence["Shown"]) -> list["Brought"]:
    """Until Ctrl-C."""
    from genima_core.view import viewer

    with terminate_as_interrupt(), viewer.serve(shown, _tell) as (address, brought, process):
        print(f"{address}\nCtrl-C ends it", flush=True)
        with suppress(KeyboardInterrupt):
            process.wait()
    return brought
