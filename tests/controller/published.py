"""A RoboBase checkpoint of GENIMA's controller as it lies on disk, with made-up weights, and inputs to compare with.

All numbers follow from names, so the original network can be given the same ones.
"""

import json
import sys
import types
import zlib
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from genima_core.controller.act import ActConfig
from genima_core.controller.network import Statistics, TrainingBatch

TINY = ActConfig(
    size=(64, 64),
    chunk_size=5,
    hidden=32,
    heads=2,
    feedforward=32,
    encoder_layers=1,
    decoder_layers=2,
    dropout=0.0,
    joint_dropout=0.0,
)
SPEECHLESS = replace(TINY, language=False)
PAPER = ActConfig(dropout=0.0, joint_dropout=0.0)


def uniform(name: str, *shape: int) -> torch.Tensor:
    """Numbers between -1 and 1 that follow from the name."""
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))) - 1


def shapes(config: ActConfig) -> dict[str, tuple[int, ...]]:
    """Of the tensors that the original's state dict holds for a network; ResNet-18 is always of full size."""
    h, f, K = config.hidden, config.feedforward, config.chunk_size
    found: dict[str, tuple[int, ...]] = {}

    def linear(name, outer, inner):
        found.update({f"{name}.weight": (outer, inner), f"{name}.bias": (outer,)})

    def conv(name, outer, inner, kernel):
        found[f"{name}.weight"] = (outer, inner, kernel, kernel)

    def norm(name, width, kinds=("weight", "bias")):
        found.update({f"{name}.{kind}": (width,) for kind in kinds})

    def attention(name):
        found.update({f"{name}.in_proj_weight": (3 * h, h), f"{name}.in_proj_bias": (3 * h,)})
        linear(f"{name}.out_proj", h, h)

    def layer(name, attentions):
        for part in attentions:
            attention(f"{name}.{part}")
        linear(f"{name}.linear1", f, h)
        linear(f"{name}.linear2", h, f)
        for i in range(1, len(attentions) + 2):
            norm(f"{name}.norm{i}", h)

    model, frozen = "actor.actor_model", ("weight", "bias", "running_mean", "running_var")
    for i in range(config.encoder_layers):
        layer(f"{model}.encoder.layers.{i}", ("self_attn",))
        layer(f"{model}.transformer.encoder.layers.{i}", ("self_attn",))
    for i in range(config.decoder_layers):
        layer(f"{model}.transformer.decoder.layers.{i}", ("self_attn", "multihead_attn"))
    norm(f"{model}.transformer.decoder.norm", h)
    for name, outer, inner in (
        ("action_head", 8, h),
        ("is_pad_head", 1, h),
        ("input_proj_robot_state.0", h, 8),
        ("input_proj_robot_state.2", h, h),
        ("encoder_action_proj", h, 8),
        ("encoder_joint_proj", h, 8),
        ("latent_proj", 64, h),
        ("latent_out_proj", h, 32),
    ):
        linear(f"{model}.{name}", outer, inner)
    for name, count in (("query_embed", K), ("cls_embed", 1), ("additional_pos_embed", 3 if config.language else 2)):
        found[f"{model}.{name}.weight"] = (count, h)
    found[f"{model}.pos_table"] = (1, K + 2, h)

    encoder, inner = "actor.encoder_model", 64
    backbone = f"{encoder}.backbone.0." + ("resnet_film_model" if config.language else "body")
    conv(f"{backbone}.conv1", 64, 3, 7)
    norm(f"{backbone}.bn1", 64, frozen)
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            name = f"{backbone}.layer{stage + 1}.{block}"
            conv(f"{name}.conv1", width, inner, 3)
            norm(f"{name}.bn1", width, frozen)
            conv(f"{name}.conv2", width, width, 3)
            norm(f"{name}.bn2", width, frozen)
            if inner != width:
                conv(f"{name}.downsample.0", width, inner, 1)
                norm(f"{name}.downsample.1", width, frozen)
            inner = width
        if config.language and stage > 0:
            linear(f"{encoder}.backbone.0.film_models.{stage}", 4 * width, h)
    conv(f"{encoder}.input_proj", h, 512, 1)
    found[f"{encoder}.input_proj.bias"] = (h,)
    if config.language:
        linear(f"{encoder}.proj_text_emb", h, 512)
    for i in (0, 2):
        conv(f"actor.projection_layer.{i}", h, h, 1)
        found[f"actor.projection_layer.{i}.bias"] = (h,)
    return found


def weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Of such a size that the outputs differ in time and between samples."""
    value = uniform(name, *shape)
    if name.endswith("running_var"):
        return 0.75 + 0.25 * value
    if "embed.weight" in name:
        return 1.7 * value
    if len(shape) > 1:
        return value * ((0.3 if "film_models" in name else 4.5) / value[0].numel()) ** 0.5
    if name.endswith("latent_proj.bias"):
        return torch.cat([value[:32], value[32:] - 40])  # a posterior that is as good as certain
    one = name.endswith(".weight")  # of a norm
    return one + 0.1 * value


def state_dict(config: ActConfig) -> OrderedDict[str, torch.Tensor]:
    """As the original agent gives it: its parts are listed under two names each."""
    own = {name: weight(name, shape) for name, shape in shapes(config).items()}
    again = {
        name.replace(long, short): value
        for name, value in own.items()
        for long, short in (("actor.encoder_model.", "encoder."), ("actor.actor_model.", "actor_model."))
        if name.startswith(long)
    }
    return OrderedDict({**again, **own})


def statistics() -> Statistics:
    mean, std = (lambda name: uniform(name, 7)), (lambda name: 1 + 0.5 * uniform(name, 7))
    return {
        "q_mean": mean("q mean"),
        "q_std": std("q std"),
        "action_mean": mean("action mean"),
        "action_std": std("action std"),
    }


def batch(config: ActConfig, count: int = 2) -> TrainingBatch:
    """Pictures of noise and numbers of the right size; the last two actions of the first sample are padding."""
    width, height = config.size
    is_pad = torch.zeros(count, config.chunk_size, dtype=torch.bool)
    is_pad[0, -2:] = True
    levels = (128 * (uniform("images", count, 4, 3, height, width) + 1)).floor()
    return TrainingBatch(
        levels / 255,
        uniform("q", count, 7),
        (uniform("gripper", count) > 0).float(),
        1.7 * uniform("text", count, config.text_dim),
        uniform("actions", count, config.chunk_size, 7),
        (uniform("action gripper", count, config.chunk_size) > 0).float(),
        is_pad,
        torch.zeros(count, 4, 4, 2),
        torch.zeros(count, 4, 4, dtype=torch.bool),
    )


def settings(config: ActConfig) -> dict:
    """The parts of config.yaml that matter, written as hydra writes them."""
    both = {"hidden_dim": config.hidden, "use_lang_cond": config.language}
    return {
        "frame_stack": 1,
        "visual_observation_shape": list(config.size),
        "action_sequence": config.chunk_size,
        "env": {"cameras": ["front", "wrist", "left_shoulder", "right_shoulder"], "action_mode": "JOINT_POSITION"},
        "method": {
            "_target_": "method.genima_act.GenimaACT",
            "lr": 5e-5,
            "actor_model": {
                **both,
                "enc_layers": config.encoder_layers,
                "dec_layers": config.decoder_layers,
                "dim_feedforward": config.feedforward,
                "nheads": config.heads,
                "pre_norm": False,
                "num_queries": "${action_sequence}",
            },
            "encoder_model": {**both, "position_embedding": "sine", "backbone": "resnet18", "dilation": False},
        },
    }


def write(folder: Path, agent: dict[str, torch.Tensor], config: dict) -> Path:
    """A snapshot with all that lies beside it; its `cfg` is pickled as OmegaConf's objects are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    s = statistics()
    for name, mean, std in (
        ("proprio_stats", [0.5, *s["q_mean"].tolist()], [1 / 6, *s["q_std"].tolist()]),
        ("action_stats", [*s["action_mean"].tolist(), 0.5], [*s["action_std"].tolist(), 1 / 6]),
    ):
        (folder / f"{name}.json").write_text(json.dumps({"mean": mean, "std": std}))
    with pytest.MonkeyPatch.context() as patch:
        module = types.ModuleType("omegaconf.dictconfig")
        module.DictConfig = type("DictConfig", (), {"__module__": module.__name__})
        patch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
        patch.setitem(sys.modules, module.__name__, module)
        cfg = module.DictConfig()
        cfg.__dict__.update(_content={"seed": 1}, _metadata=[int, dict])
        torch.save({"cfg": cfg, "_epoch": 990, "_num_iters": 123, "agent": agent}, folder / "latest.pt")
    return folder / "latest.pt"
