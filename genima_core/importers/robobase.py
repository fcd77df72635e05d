"""Reads the published controller's checkpoints (RoboBase's snapshots); nothing that a pickle asks for is executed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from genima_core.cameras import CameraRig
from genima_core.config import from_overrides
from genima_core.controller.act import Act, ActConfig
from genima_core.controller.network import Statistics
from genima_core.controller.policy import Controller
from genima_core.files import read_json
from genima_core.geometry import checked_numbers
from genima_core.importers.rlbench.rig import Q_ZERO
from genima_core.importers.settings import CAMERAS, Settings, find_settings
from genima_core.language import TextEncoder
from genima_core.targets.look import RELEASED
from genima_core.weights import read_torch

ABOVE = ("../.hydra/config.yaml", "../../.hydra/config.yaml")
"""Where hydra writes the configuration, if it is not beside the snapshot."""
CLIP = "openai/clip-vit-base-patch32"
"""What the published controller embeds instructions with."""

PREFIXES = (
    ("actor.encoder_model.backbone.0.resnet_film_model.", "backbone."),
    ("actor.encoder_model.backbone.0.body.", "backbone."),  # without language: torchvision's ResNet
    ("actor.encoder_model.backbone.0.film_models.", "backbone.film_models."),
    ("actor.encoder_model.", ""),
    *(
        (f"actor.actor_model.{name}.", f"posterior.{name}.")
        for name in ("encoder", "cls_embed", "encoder_joint_proj", "encoder_action_proj", "latent_proj")
    ),
    ("actor.actor_model.", ""),
)
"""Prefixes of tensor names in a snapshot and in `Act`; the first that matches counts."""

VALUES = {
    "size": "visual_observation_shape",
    "language": "method.actor_model.use_lang_cond",
    "chunk_size": "method.actor_model.num_queries",
    "hidden": "method.actor_model.hidden_dim",
    "heads": "method.actor_model.nheads",
    "feedforward": "method.actor_model.dim_feedforward",
    "encoder_layers": "method.actor_model.enc_layers",
    "decoder_layers": "method.actor_model.dec_layers",
}
"""Fields of `ActConfig`, and the keys of config.yaml that hold their values."""

JointConvention = Literal["vendor", "rlbench"]
"""Whose zero of joint 4."""

IGNORED = (
    ("encoder.", "a second name of actor.encoder_model"),
    ("actor_model.", "a second name of actor.actor_model"),
    ("actor.projection_layer.", "joins stacked frames, and there is one"),
    ("actor.actor_model.pos_table", "computed"),
    ("clip_model.", "the text encoder has its own folder"),
)
"""Prefixes of tensor names that are left out, and why."""


def convert_controller(
    source: Path, out: Path, rig: CameraRig, text_encoder: str | None = None, joints: JointConvention = "vendor"
) -> dict:
    """Turns a RoboBase snapshot into a controller's folder; returns a summary, with the ignored tensors by reason.

    Args:
        source: The .pt file. Its two statistics files must be beside it, and config.yaml there or above.
        out: Folder of the controller.
        rig: The cameras that targets will be drawn for.
        text_encoder: The CLIP model that it was trained with; ViT-B/32 by default.
        joints: Whose joint positions it takes and gives: the vendor's, as everything else here, or RLBench's, as the
            original does.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or asks for code to be run, or describes a network that `Act` is not.
    """
    snapshot = Path(source)
    if not snapshot.is_file():
        raise FileNotFoundError(f"{snapshot} is not a file; give a snapshot, e.g. latest.pt of GENIMA's controller_act")
    settings = read_settings(snapshot)
    config = read_config(settings, rig)
    rig = rig.in_order(settings.get(CAMERAS))  # makes no difference to this network, but to the agent that draws for it
    agent = read_agent(snapshot)
    kept, ignored = rename(agent)
    model = Act(config, rig.resize(*config.size), read_statistics(snapshot.parent, joints))
    check(agent, kept, model.state_dict(), snapshot)
    model.load_state_dict({ours: agent[name] for name, ours in kept.items()})
    name = text_encoder or (CLIP if config.language else None)
    text = TextEncoder.of_width(name, config.text_dim)
    # In full precision: the converted network gives the original's numbers.
    Controller(model.eval(), text).save(out, torch.float32)
    return {
        "snapshot": str(snapshot),
        "config": str(settings.path),
        "cameras": list(rig.names),
        "text_encoder": name,
        "tensors": len(kept),
        "parameters": sum(agent[name].numel() for name in kept),
        "ignored": ignored,
    }


def read_settings(snapshot: Path) -> Settings:
    path = find_settings(snapshot.parent, *ABOVE)
    if path is None:
        raise FileNotFoundError(f"config.yaml is missing; copy it to {snapshot.parent}, beside {snapshot.name}")
    return Settings.read(path)


def read_config(settings: Settings, rig: CameraRig) -> ActConfig:
    """The network that a config.yaml describes; ValueError if it is damaged, or asks for what `Act` does not do."""
    get, need = settings.get, settings.need
    need("method._target_", "method.genima_act.GenimaACT")
    need("env.action_mode", "JOINT_POSITION")
    need("frame_stack", 1)
    need("method.encoder_model.backbone", "resnet18")
    need("method.encoder_model.position_embedding", "sine", "v2")
    need("method.encoder_model.dilation", False)
    need("method.actor_model.pre_norm", False)
    for name in ("hidden_dim", "use_lang_cond"):
        need(f"method.encoder_model.{name}", get(f"method.actor_model.{name}"))
    need("method.actor_model.num_queries", get("action_sequence"))
    cameras = get(CAMERAS)
    if not isinstance(cameras, list) or sorted(map(str, cameras)) != sorted(rig.names):
        given = f"{settings.path}: the checkpoint sees the cameras {cameras}, the rig has {list(rig.names)}"
        raise ValueError(f"{given}; give the rig that it was trained with, with the same names")
    config = from_overrides(ActConfig, {ours: get(theirs) for ours, theirs in VALUES.items()}, str(settings.path))
    return replace(config, look=RELEASED)


def read_statistics(folder: Path, joints: JointConvention = "vendor") -> Statistics:
    """Means and deviations of joints and actions, which GENIMA's training writes beside its snapshots.

    There, joint positions are RLBench's, which differ from the vendor's in the zero of joint 4.
    """
    zero = Q_ZERO if joints == "vendor" else np.zeros(7)
    found: Statistics = {}
    # The gripper comes first in the state and last in an action, and is normalised in neither.
    for name, own, columns in (("proprio_stats", "q", slice(1, None)), ("action_stats", "action", slice(None, 7))):
        path = folder / f"{name}.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: GENIMA's training writes it beside its snapshots; copy it")
        data = read_json(path)
        for key in ("mean", "std"):
            numbers = checked_numbers(data.get(key), (8,), f"{key} in {path}")
            if key == "std" and (numbers < 0).any():
                raise ValueError(f"std in {path} is {numbers.tolist()}; deviations are not negative")
            found[f"{own}_{key}"] = torch.from_numpy(numbers[columns] + (zero if key == "mean" else 0.0)).float()
    found["q_std"] += 1e-10
    return found


class _InertObject:
    """Stands for an object of the configuration that was pickled beside the weights; keeps nothing, does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_OMEGACONF = (
    "dictconfig.DictConfig",
    "listconfig.ListConfig",
    "base.ContainerMetadata",
    "base.Metadata",
    *(f"nodes.{kind}Node" for kind in ("Any", "Integer", "Float", "String", "Boolean", "Interpolation")),
)
INERT = (
    *(f"omegaconf.{name}" for name in _OMEGACONF),
    "typing.Any",
    "collections.defaultdict",
    *(f"builtins.{name}" for name in ("dict", "list", "tuple", "int", "float", "bool", "str")),
)
"""Names in the pickle of a snapshot's `cfg` (OmegaConf's); each gives an `_InertObject` instead."""


def read_agent(path: Path) -> dict[str, Tensor]:
    """The state dict under `agent`, read by torch's unpickler for weights; ValueError if there is none."""
    with torch.serialization.safe_globals([(_InertObject, name) for name in INERT]):
        payload = read_torch(path)
    agent = payload.get("agent") if isinstance(payload, Mapping) else None
    if not isinstance(agent, Mapping) or not agent or not all(isinstance(v, Tensor) for v in agent.values()):
        held = sorted(map(str, payload)) if isinstance(payload, Mapping) else type(payload).__name__
        raise ValueError(f"{path} has no state dict under `agent`; it holds {held}")
    return dict(agent)


def rename(names: Iterable[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The checkpoint's tensor names with `Act`'s, and by reason those left out; unknown names stay as they are."""
    kept: dict[str, str] = {}
    ignored: dict[str, list[str]] = {}
    for name in names:
        reason = next((reason for prefix, reason in IGNORED if name.startswith(prefix)), None)
        if reason is None:
            there, here = next((pair for pair in PREFIXES if name.startswith(pair[0])), ("", ""))
            kept[name] = here + name.removeprefix(there)
        else:
            ignored.setdefault(reason, []).append(name)
    return kept, ignored


def check(agent: Mapping[str, Tensor], kept: Mapping[str, str], expected: Mapping[str, Tensor], path: Path) -> None:
    """ValueError if names, shapes or values of the tensors do not fit the network."""
    counts = Counter(kept.values())
    fits = [name for name, ours in kept.items() if ours in expected and counts[ours] == 1]
    shapes = {name: (tuple(agent[name].shape), tuple(expected[kept[name]].shape)) for name in fits}
    faults = {
        "missing": sorted(set(expected) - set(kept.values())),
        "unknown": sorted(set(kept) - set(fits)),
        "of another shape": [f"{name} {a}, not {b}" for name, (a, b) in shapes.items() if a != b],
        "not finite": [n for n, (a, b) in shapes.items() if a == b and not agent[n].isfinite().all()],
    }
    if any(faults.values()):
        listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in faults.items() if names)
        raise ValueError(f"{path} does not fit its config.yaml: {listed}")
