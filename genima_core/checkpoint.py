"""A checkpoint folder: everything that drawing and following need, and where it came from.

Layout::

    checkpoint.json                 `CheckpointInfo`
    rig.json                        the `CameraRig` it was trained with
    diffusion/                      diffusers folders: vae, unet, controlnet, scheduler, text_encoder, tokenizer
    controller/                     config.json, model.safetensors, statistics.json
    README.md                       model card
"""

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from genima_core.arm import Arm
from genima_core.cameras import CameraRig

if TYPE_CHECKING:
    from genima_core.targets.gate import Gate, GateConfig

FORMAT = 1
REMEDY = "use `git checkout -- checkpoints/demo` for the shipped one, or `make demo-checkpoint` to train it anew"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint was trained for and on."""

    format: int
    preset: str
    tasks: tuple[str, ...]
    instructions: tuple[str, ...]
    """Of the data set: others mean nothing to it."""
    chunk_size: int
    """K, actions a chunk."""
    dt_s: float
    """Time between the actions of a chunk."""
    view_size: int
    """Width and height of each view in pixels."""
    rig: str
    """`CameraRig.fingerprint` of rig.json."""
    dataset: str
    """Fingerprint of the data set."""
    seeds: tuple[int, ...]
    """Scene seeds of the training episodes: never evaluate on them."""
    revision: str
    """Git revision of the code that trained it."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose parts are present and belong together."""

    path: Path
    info: CheckpointInfo
    rig: CameraRig

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """Reads and checks a folder; the weights are loaded by `DiffusionAgent` and `Controller`.

        Raises:
            FileNotFoundError: a part is missing.
            ValueError: a part is damaged, or parts do not belong together.
        """
        path = Path(path)
        for part in ("checkpoint.json", "rig.json", "diffusion", "controller"):
            if not (path / part).exists():
                raise FileNotFoundError(f"{path} is no complete checkpoint: {part} is missing; {REMEDY}")
        try:
            data = json.loads((path / "checkpoint.json").read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{path / 'checkpoint.json'} is damaged ({error}); {REMEDY}") from error
        names = {f.name for f in fields(CheckpointInfo)}
        if set(data) != names or data["format"] != FORMAT:
            raise ValueError(
                f"{path / 'checkpoint.json'} has keys {sorted(data)}, format {data.get('format')}; "
                f"this version reads format {FORMAT} with keys {sorted(names)}"
            )
        info = CheckpointInfo(**data | {name: tuple(data[name]) for name in ("tasks", "instructions", "seeds")})
        rig = CameraRig.load(path / "rig.json")
        if rig.fingerprint() != info.rig:
            raise ValueError(
                f"{path}: rig.json has fingerprint {rig.fingerprint()}, the checkpoint was trained with "
                f"{info.rig}; restore the rig.json it came with"
            )
        return cls(path, info, rig)

    @property
    def arm(self) -> Arm:
        """The arm that it was trained with."""
        return self.rig.arm

    def unknown_instruction(self, instruction: str) -> str:
        """What is wrong with an instruction, in one sentence; "" for one that it was taught, and for none."""
        taught = self.info.instructions
        if not instruction or _plain(instruction) in map(_plain, taught):
            return ""
        return (
            f"the checkpoint was never taught {instruction!r} and may do anything; it knows "
            + ", ".join(repr(text) for text in taught[:5])
            + (f" and {len(taught) - 5} more" if len(taught) > 5 else "")
        )

    def gate(self, config: "GateConfig | None" = None, arm: Arm | None = None) -> "Gate":
        """The target gate for its drawings, and for another arm than the one of training, if that follows them."""
        from genima_core.targets.gate import Gate, GateConfig  # OpenCV and SciPy: not everybody judges drawings

        rig = replace(self.rig, arm=arm or self.rig.arm)
        return Gate(rig, self.info.chunk_size * self.info.dt_s, config or GateConfig())


def assemble(
    data: Path,
    diffusion: Path,
    controller: Path,
    out: Path,
    autoencoder: Path | None = None,
    preset: str = "demo",
    results: tuple[Path, ...] = (),
) -> None:
    """Puts what was trained into one checkpoint folder with its model card; an older one is replaced at the end.

    Raises:
        FileNotFoundError, ValueError: a part is missing or damaged, or parts do not belong together.
        FileExistsError: `out` is something else.
    """
    from genima_core.data.dataset import Dataset

    dataset = Dataset(data)
    agent, follower = _part(diffusion, "agent", "agent.json"), _part(controller, "controller", "config.json")
    config, drawn = _read_json(follower / "config.json"), _read_json(agent / "agent.json")
    if drawn["size"] != config["size"]:
        raise ValueError(
            f"the agent draws on views of {drawn['size']} pixels, the controller reads {config['size']}; "
            "both need the same size"
        )
    width, height = config["size"]
    rig = dataset.rig.resize(width, height)
    info = CheckpointInfo(
        FORMAT,
        preset,
        tuple(sorted(set(dataset.tasks))),
        tuple(sorted(set(dataset.instructions))),
        config["chunk_size"],
        config["dt_s"],
        width,
        rig.fingerprint(),
        dataset.fingerprint(),
        tuple(dataset.seeds),
        git_revision(),
    )
    scores = {
        name: _read_json(folder / "scores.json")
        for name, folder in (("autoencoder", autoencoder), ("diffusion", diffusion), ("controller", controller))
        if folder is not None and (folder / "scores.json").exists()
    }
    out = Path(out)
    if out.exists() and not (out / "checkpoint.json").is_file():
        raise FileExistsError(f"{out} exists and is no checkpoint: name a new folder, or remove it")
    temporary = out.with_name(out.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    shutil.copytree(agent, temporary / "diffusion")
    shutil.copytree(follower, temporary / "controller")
    rig.save(temporary / "rig.json")
    (temporary / "checkpoint.json").write_text(json.dumps(asdict(info), indent=2) + "\n")
    (temporary / "README.md").write_text(model_card(info, sum(dataset.lengths), scores, list(map(_read_json, results))))
    Checkpoint.open(temporary)
    if out.exists():
        shutil.rmtree(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary.rename(out)


def _plain(instruction: str) -> str:
    """Without what changes nothing of its meaning."""
    return " ".join(instruction.casefold().split())


def _part(folder: Path, name: str, mark: str) -> Path:
    """What a training run left in its folder, or the folder itself if it is that."""
    for candidate in (folder / name, folder):
        if (candidate / mark).is_file():
            return candidate
    raise FileNotFoundError(
        f"{folder} holds no {name} ({mark} is missing, there and in {name}/); a finished `genima "
        "train` or `genima convert` writes it"
    )


def model_card(info: CheckpointInfo, frames: int, scores: dict[str, dict], results: list[dict]) -> str:
    """What the checkpoint is, how it was made and what it scores, as Markdown."""
    lines = [
        f"# Genima checkpoint, preset `{info.preset}`",
        "",
        f"Draws and follows joint targets for: {', '.join(info.tasks)}. Views {info.view_size}×{info.view_size}, "
        f"chunks of {info.chunk_size} actions every {info.dt_s} s. Licence: Apache-2.0.",
        "",
        "## How it was made",
        "",
        f"- Data: {len(info.seeds)} {_origin(info.seeds)} ({frames} frames), fingerprint `{info.dataset}`, camera rig "
        f"`{info.rig}`.",
        f"- Code: revision `{info.revision}`"
        + ("; `make demo-checkpoint` repeats it." if info.preset == "demo" else "."),
        "",
        "| part | parameters | steps | minutes | samples/s | held-out scores |",
        "|---|---|---|---|---|---|",
    ]
    for name, score in scores.items():
        lines.append(
            f"| {name} | {score['parameters'] / 1e6:.2f} M | {score['steps']} | {score['minutes']:.1f} | "
            f"{score['samples_per_s']:.0f} | {_flat(score['scores'])} |"
        )
    if results:
        lines += [
            "",
            "## What it scores",
            "",
            "Closed loop in simulation, on scenes that were neither trained nor tuned on. The controls must "
            "fail: `shuffled` shows the agent another episode, the next seed's; `blank` draws nothing. "
            "`truth` follows perfect targets.",
            "",
            "| task | targets | seeds | successes | rate | 95 % interval |",
            "|---|---|---|---|---|---|",
        ]
        for r in results:
            low, high = r["success_interval_95"]
            lines.append(
                f"| {r['task']} | {r['targets']} | {min(r['seeds'])} to {max(r['seeds'])} | {r['successes']} "
                f"of {r['episodes']} | {r['success_rate']:.0%} | {low:.0%} to {high:.0%} |"
            )
        drawn = [r for r in results if "draw_found_rate" in r]
        if drawn:
            r = drawn[0]
            lines += [
                "",
                f"Drawing, unseen scenes: {r['draw_found_rate']:.1%} of the visible spheres found, median "
                f"error of their centres {r['draw_error_px_median']:.2f} px (90th percentile "
                f"{r['draw_error_px_p90']:.2f} px). Following: gripper {r['follow_error_cm_median']:.1f} cm from "
                f"the target with true drawings, {r['follow_drawn_error_cm_median']:.1f} cm with the agent's "
                "(medians).",
            ]
    lines += [
        "",
        "## What it cannot do",
        "",
        "It knows one cell: its cameras, its arm and the tasks above"
        + (". It says nothing about a real robot." if min(info.seeds) >= 0 else "."),
    ]
    return "\n".join(lines) + "\n"


def _origin(seeds: tuple[int, ...]) -> str:
    """Scenes without a seed were recorded, not scripted."""
    if min(seeds) < 0:
        return "recorded demonstrations"
    return f"scripted demonstrations in simulation, scene seeds {min(seeds)} to {max(seeds)}"


def _flat(scores: dict, prefix: str = "") -> str:
    """Scores as one cell of a table."""
    parts = []
    for key, value in scores.items():
        if isinstance(value, dict):
            parts.append(_flat(value, f"{prefix}{key} "))
        elif isinstance(value, (int, float)):
            parts.append(f"{prefix}{key} {value:.3g}")
    return ", ".join(parts)


def _read_json(path: Path) -> dict:
    """A JSON file, or an error that says which command writes it."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is missing; a finished `genima train` or `genima eval --json` writes it"
        ) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error})") from error


def git_revision() -> str:
    """Revision of the source tree this file lies in, "+" appended when it was changed; "unknown" outside git."""

    def git(*args: str) -> str:
        return subprocess.run(
            ("git", *args), cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        # Making a checkpoint changes checkpoints/, and nothing that made it.
        changed = git("status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)checkpoints")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
