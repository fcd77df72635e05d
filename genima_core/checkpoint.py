"""A checkpoint folder: checkpoint.json, rig.json, gate.json (limits), diffusion/ (diffusers folders), controller/ and
its model card.
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genima_core.arm import Arm
from genima_core.cameras import CameraRig
from genima_core.config import flat, from_overrides
from genima_core.files import check_complete, check_replaceable, read_json, replaced_folder, write_json
from genima_core.pixels import USUAL_VIEWS
from genima_core.targets.look import LOOKS, OURS, Look

if TYPE_CHECKING:
    from genima_core.data.dataset import Dataset
    from genima_core.targets.gate import Gate, GateConfig

FORMAT = 1
GATE_DRAWINGS = 100
"""True drawings that the limits of the gate are found from."""
PARTS = ("checkpoint.json", "rig.json", "gate.json", "diffusion", "controller")
OF_CHECKPOINT = ("checkpoint.json", (*PARTS, "README.md"), "a checkpoint")
"""How `files.replaced_folder` recognises an older one."""
COLLECTED = "collected"
"""`Origin.made` of scripted demonstrations."""


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint was trained for and on."""

    format: int
    preset: str
    tasks: tuple[str, ...]
    instructions: tuple[str, ...]
    chunk_size: int
    """K, actions a chunk."""
    dt_s: float
    """Time between the actions of a chunk."""
    view_size: int
    """Width and height of each view in pixels."""
    rig: str
    dataset: str
    seeds: tuple[int, ...]
    """Scene seeds of the training episodes: never evaluate on them."""
    revision: str

    def __post_init__(self) -> None:
        if not (self.tasks and self.seeds and self.chunk_size >= 1 and self.dt_s > 0 and self.view_size >= 1):
            given = f"{self.tasks}, {self.seeds[:3]}, {self.chunk_size}, {self.dt_s}, {self.view_size}"
            needed = "tasks, seeds, and chunk_size, dt_s and view_size above 0"
            raise ValueError(f"a checkpoint needs {needed}; it says {given}")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose parts are present and belong together."""

    path: Path
    info: CheckpointInfo
    rig: CameraRig
    look: Look = OURS
    """Of the targets that it draws and follows."""

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """Reads and checks all but the weights; FileNotFoundError, ValueError: missing, damaged, do not belong
        together.
        """
        path = Path(path)
        check_complete(path, PARTS, "is not a complete checkpoint:")
        data = read_json(path / "checkpoint.json")
        if data.get("format") != FORMAT:
            raise ValueError(f"{path}/checkpoint.json has format {data.get('format')}; this version reads {FORMAT}")
        info = from_overrides(CheckpointInfo, data, str(path / "checkpoint.json"))
        rig = CameraRig.load(path / "rig.json")
        if rig.fingerprint() != info.rig:
            given = f"{path}: rig.json has fingerprint {rig.fingerprint()}, the checkpoint was trained with {info.rig}"
            raise ValueError(f"{given}; restore the rig.json it came with")
        drawn, followed = _part_info(path / "diffusion", "agent.json"), _part_info(path / "controller", "config.json")
        _check_views(drawn, rig, str(path / "rig.json"))
        if drawn.look != followed.look:
            raise ValueError(f"{path}: the agent draws targets of another look than the controller follows")
        return cls(path, info, rig, drawn.look)

    @property
    def arm(self) -> Arm:
        return self.rig.arm

    def unknown_instruction(self, instruction: str) -> str:
        """What is wrong with an instruction, in one sentence; "" for one that it was taught, and for none."""
        taught = self.info.instructions
        if not instruction or _plain(instruction) in map(_plain, taught):
            return ""
        known = ", ".join(map(repr, taught[:5])) + (f" and {len(taught) - 5} more" if len(taught) > 5 else "")
        return f"the checkpoint was never taught {instruction!r} and may do anything; it knows {known}"

    def gate(self, given: "GateConfig | None" = None, arm: Arm | None = None) -> "Gate":
        """The target gate for its drawings, and for another arm than the one of training, if that follows them.

        Limits are those found when the checkpoint was made, but for those of `given` that are not the usual ones.
        ValueError where gate.json is damaged, or the cameras are too few.
        """
        from genima_core.targets.gate import Gate, GateConfig  # OpenCV and SciPy: not everybody judges drawings

        path, usual = self.path / "gate.json", asdict(GateConfig())
        chosen = {name: value for name in usual if (value := getattr(given, name, usual[name])) != usual[name]}
        limits = from_overrides(GateConfig, {**read_json(path), **chosen}, str(path))
        rig = replace(self.rig, arm=arm or self.rig.arm)
        return Gate(rig, self.info.chunk_size * self.info.dt_s, limits, self.look)


@dataclass(frozen=True)
class Parts:
    """What a checkpoint is put together from."""

    data: Path
    """Data set that all parts were trained on."""
    diffusion: Path
    """Folder that `genima train diffusion` wrote, or an agent that `genima convert` made."""
    controller: Path
    """Folder that `genima train controller` wrote, or one that `genima convert` made."""
    out: Path
    """Checkpoint folder."""
    autoencoder: Path | None = None
    """Folder that `genima train autoencoder` wrote, for the model card."""
    preset: str = "demo"
    """Preset that the drawing agent was trained with."""
    results: tuple[Path, ...] = ()
    """Files that `genima eval --json` wrote, for the model card."""
    licence: str = ""
    """Of the checkpoint, for the model card, such as Apache-2.0; by default the card names none."""
    repeated_by: str = ""
    """Command that makes it again, for the model card."""


def assemble(parts: Parts) -> None:
    """Puts what was trained into one folder with its model card, in place of an older one; errors as of `open`."""
    from genima_core.data.dataset import Dataset
    from genima_core.data.origin import read_origin

    check_replaceable(parts.out, *OF_CHECKPOINT)
    if missing := [path for path in parts.results if not path.exists()]:
        raise FileNotFoundError(f"{missing[0]} is missing; `genima eval --json` writes it")
    dataset = Dataset(parts.data)
    agent = _part(parts.diffusion, "agent", "agent.json")
    controller = _part(parts.controller, "controller", "config.json")
    drawn, chunks = _part_info(agent, "agent.json"), _part_info(controller, "config.json")
    if drawn.size != chunks.size:
        given = f"the agent draws on views of {drawn.size} pixels, the controller reads {chunks.size}"
        raise ValueError(f"{given}; both need the same size")
    if drawn.look != chunks.look:
        names = [next((n for n, look in LOOKS.items() if look == part.look), "another") for part in (drawn, chunks)]
        given = f"the agent draws targets of the look {names[0]}, the controller follows those of {names[1]}"
        raise ValueError(f"{given}; train one of them with the other's --look")
    rig = dataset.rig.resize(*chunks.size).in_order(drawn.cameras)
    _check_views(drawn, rig, str(parts.data))
    followed = _followed_rig(controller, chunks.network, rig, parts.data)
    info = CheckpointInfo(
        FORMAT,
        parts.preset,
        tuple(sorted(set(dataset.tasks))),
        tuple(sorted(set(dataset.instructions))),
        chunks.chunk_size,
        chunks.dt_s,
        chunks.size[0],
        rig.fingerprint(),
        dataset.fingerprint(),
        tuple(dataset.seeds),
        git_revision(),
    )
    trained = {"autoencoder": parts.autoencoder, "diffusion": parts.diffusion, "controller": parts.controller}
    scores = {
        name: read_json(folder / "scores.json")
        for name, folder in trained.items()
        if folder is not None and (folder / "scores.json").exists()
    }
    limits = _gate_limits(dataset, rig, drawn.look, info.chunk_size * info.dt_s)
    origin = read_origin(dataset.root)
    card = model_card(
        info,
        (len(dataset), sum(dataset.lengths)),
        None if origin is None else origin.made,
        scores,
        [read_json(path) for path in parts.results],
        parts.licence,
        parts.repeated_by,
    )
    with replaced_folder(parts.out, *OF_CHECKPOINT) as temporary:
        shutil.copytree(agent, temporary / "diffusion")
        shutil.copytree(controller, temporary / "controller")
        followed.save(temporary / "controller" / "rig.json")
        rig.save(temporary / "rig.json")
        write_json(temporary / "gate.json", asdict(limits))
        write_json(temporary / "checkpoint.json", asdict(info))
        (temporary / "README.md").write_text(card)
        Checkpoint.open(temporary)


def _gate_limits(dataset: "Dataset", rig: CameraRig, look: Look, duration_s: float) -> "GateConfig":
    """What true drawings of the data set keep, whatever its cameras, its arm and its pace; the usual limits where its
    cameras are too few for a gate.
    """
    from genima_core.data.truth import random_windows, true_drawings
    from genima_core.targets.gate import Gate, GateConfig, can_judge
    from genima_core.targets.limits import limits_of

    if not can_judge(rig):
        return GateConfig()
    windows = random_windows(dataset, GATE_DRAWINGS, np.random.default_rng(0))
    true = true_drawings(dataset, rig, look, max(1, round(duration_s * dataset.fps)), windows)
    gate = Gate(rig, duration_s, look=look)
    return limits_of(gate, ((drawing.drawing, drawing.q, drawing.observation) for drawing in true))


@dataclass(frozen=True)
class _PartInfo:
    """What a checkpoint takes from its agent's agent.json, and from its controller's config.json."""

    size: tuple[int, int]
    chunk_size: int = 0
    dt_s: float = 0.0
    look: Look = OURS
    views: int = USUAL_VIEWS
    cameras: tuple[str, ...] = ()
    network: str = ""


def _check_views(drawn: _PartInfo, rig: CameraRig, what: str) -> None:
    """ValueError: the agent draws for other cameras, or in another order; `what` names their rig."""
    told = f"{what} has the cameras {', '.join(rig.names)}"
    if drawn.views != len(rig.cameras):
        given = f"the agent draws onto {drawn.views} views, and {told}"
        raise ValueError(f"{given}; an agent draws only for as many as it was trained with")
    if drawn.cameras and drawn.cameras != rig.names:
        given = f"the agent draws for the cameras {', '.join(drawn.cameras)}, and {told}"
        remedy = "give the data set that it was trained on, or name them so when you convert (--cameras)"
        raise ValueError(f"{given}; {remedy}")


def _followed_rig(controller: Path, network: str, rig: CameraRig, data: Path) -> CameraRig:
    """The rig of a controller, in the order of `rig` where its network takes views in any; ValueError: another rig."""
    from genima_core.controller.config import NETWORKS  # torch takes seconds

    followed = CameraRig.load(controller / "rig.json")
    if network in NETWORKS and NETWORKS[network].any_order:
        followed = followed.in_order(rig.names)
    if followed.names != rig.names and followed.in_order(rig.names).names == rig.names:
        given = (
            f"the agent draws for the cameras {', '.join(rig.names)}, {controller} reads {', '.join(followed.names)}"
        )
        raise ValueError(f"{given}, and its network depends on their order; train one of them anew in the other's")
    if differences := rig.differences(followed):
        given = f"{controller} was made for other cameras than those of {data}: {'; '.join(differences)}"
        raise ValueError(f"{given}; give the data set that it was trained on")
    return followed


def _part_info(folder: Path, file: str) -> _PartInfo:
    return from_overrides(_PartInfo, read_json(folder / file), str(folder / file), strict=False)


def _plain(instruction: str) -> str:
    """Without what changes nothing of its meaning."""
    return " ".join(instruction.casefold().split())


def _part(folder: Path, name: str, mark: str) -> Path:
    """What a training run left in its folder, or the folder itself if it is that."""
    for candidate in (folder / name, folder):
        if (candidate / mark).is_file():
            return candidate
    raise FileNotFoundError(f"{folder} holds no {name} ({mark} is missing); finish `genima train` or `genima convert`")


def model_card(
    info: CheckpointInfo,
    length: tuple[int, int],
    made: str | None,
    scores: Mapping[str, Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]] = (),
    licence: str = "",
    repeated_by: str = "",
) -> str:
    """What a checkpoint is, how it was made and what it scores, as Markdown.

    `length`: episodes and frames of its data set; `made`: as `Origin.made` says, None where nobody noted it; `scores`:
    scores.json of the parts that were trained here; `results`: of `genima eval --json`.
    """
    data = f"demonstrations, {made or 'of unknown origin'}"
    if made == COLLECTED:
        data = f"scripted demonstrations in simulation, scene seeds {min(info.seeds)} to {max(info.seeds)}"
    text = f"""# Genima checkpoint, preset `{info.preset}`

Draws and follows joint targets for: {", ".join(info.tasks)}. Views {info.view_size}×{info.view_size}, \
chunks of {info.chunk_size} actions every {info.dt_s} s.{f" Licence: {licence}." if licence else ""}

## How it was made

- Data: {length[0]} {data} ({length[1]} frames), fingerprint `{info.dataset}`, camera rig `{info.rig}`.
- Code: revision `{info.revision}`{f"; `{repeated_by}` repeats it." if repeated_by else "."}
"""
    for part, score in scores.items():
        if (other := score.get("dataset") or info.dataset) != info.dataset:
            text += f"- The {part} was trained on another data set, with fingerprint `{other}`.\n"
    if imported := [part for part in ("diffusion", "controller") if part not in scores]:
        text += f"- Imported, not trained here: {' and '.join(imported)}.\n"
    if scores:
        text += f"\n| part | parameters | steps | minutes | samples/s | held-out scores |\n{'|---' * 6}|\n"
    for name, score in scores.items():
        numbers = {key: v for key, v in flat(score["scores"], " ").items() if isinstance(v, int | float)}
        size, speed = f"{score['parameters'] / 1e6:.2f} M", f"{score['samples_per_s']:.0f}"
        listed = ", ".join(f"{key} {v:.3g}" for key, v in numbers.items())
        text += f"| {name} | {size} | {score['steps']} | {score['minutes']:.1f} | {speed} | {listed} |\n"
    if rows := list(_of_one_task(results)):
        text += _scores_by_task(rows)
    real = " It says nothing about a real robot." if made == COLLECTED else ""
    return f"{text}\n## What it cannot do\n\nIt knows one cell: its cameras, its arm and the tasks above.{real}\n"


def _of_one_task(results: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The results of single tasks in those of several and of their variants."""
    for result in results:
        yield from result.get("tasks", [result])
        for variant in result.get("variants", {}).values():
            yield from variant["tasks"]


def _scores_by_task(rows: Sequence[Mapping[str, Any]]) -> str:
    """Success by task, in columns what was drawn and said; then how drawing and following did by themselves."""

    def column(row: Mapping[str, Any]) -> str:
        said = row.get("instruction", "seen")
        return ", ".join(part for part in (row["targets"], said if said != "seen" else "", row.get("perturb")) if part)

    columns, tasks = ({what(row): None for row in rows} for what in (column, lambda row: row["task"]))
    seeds = [seed for row in rows for seed in row["seeds"]]
    text = f"""
## What it scores

Closed loop in simulation, on scenes {min(seeds)} to {max(seeds)}, with 95 % intervals; those from 20000 on were \
neither trained nor tuned on. `truth` follows perfect targets. The controls must fail: `shuffled` shows the agent \
another scene, `blank` draws nothing, `wrong` asks for another variation.

| task | {" | ".join(columns)} |
{"|---" * (1 + len(columns))}|
"""
    for task in tasks:
        cells = {column(row): row for row in rows if row["task"] == task}
        text += f"| {task} | {' | '.join(_success(cells[name]) if name in cells else '' for name in columns)} |\n"
    for r in (row for row in rows if "draw_found_rate" in row):
        off = ""
        if (median_px := r["draw_error_px_median"]) is not None:
            off = f", their centres off by {median_px:.2f} px (median; 90th percentile {r['draw_error_px_p90']:.2f} px)"
        text += f"""
{r["task"]}: {r["draw_found_rate"]:.1%} of the visible spheres found in drawings of new scenes{off}; gripper \
{r["follow_error_cm_median"]:.1f} cm from the target with true drawings, \
{r["follow_drawn_error_cm_median"]:.1f} cm with the agent's (medians).
"""
    return text


def _success(result: Mapping[str, Any]) -> str:
    low, high = result["success_interval_95"]
    return f"{result['successes']} of {result['episodes']} ({low:.0%} to {high:.0%})"


def git_revision() -> str:
    """Revision of the source tree that holds this file, with "+" when it was changed; "unknown" outside git."""

    def git(*args: str) -> str:
        where = Path(__file__).parent
        return subprocess.run(("git", *args), cwd=where, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # an environment may lie in a tree of something else
        # Making a checkpoint changes checkpoints/, and nothing that made it.
        changed = git("status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)checkpoints")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
