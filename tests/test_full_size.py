"""docs/training.md as commands: the presets of the paper's size, around tiny or random weights of the same classes."""

import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from genima_core.checkpoint import Checkpoint
from genima_core.controller.resnet import FilmResNet
from genima_core.diffusion.agent import DiffusionAgent
from genima_core.language import TextEncoder
from genima_ros.cli import main as cli

sys.path.insert(0, str(Path(__file__).parent / "diffusion"))
from bases import save_base

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fresh_accelerate")]


@pytest.fixture
def place(tmp_path):
    """A data set, and downloads."""
    folder = tmp_path
    run("collect", "push_button", "--episodes", 2, "--seed", 0, "--size", 256, "--out", folder / "data")
    save_base(folder / "sd-turbo", "sd")
    text = TextEncoder.tiny(16)
    config = CLIPTextConfig(
        vocab_size=len(text.tokenizer),
        hidden_size=16,
        intermediate_size=16,
        projection_dim=512,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=1,
    )
    text.tokenizer.save_pretrained(folder / "clip")
    CLIPTextModelWithProjection(config).save_pretrained(folder / "clip")
    torch.save(FilmResNet((64, 128, 256, 512), (2, 2, 2, 2), (), 256).state_dict(), folder / "resnet18.pth")
    return folder


def run(*arguments):
    assert cli.run([str(a) for a in arguments]) == 0, arguments


def test_from_a_data_set_to_a_checkpoint_that_evaluates(place, rng):
    run(
        "train",
        "diffusion",
        "--look",
        "released",
        "--data",
        place / "data",
        "--out",
        place / "diffusion",
        "--preset",
        "sd-turbo",
        "--base",
        place / "sd-turbo",
        "--batch-size",
        2,
        "--accumulate",
        2,
        "--precision",
        "bfloat16",
        "--steps",
        1,
        "--workers",
        1,
        "--checked",
        1,
    )
    run(
        "train",
        "controller",
        "--data",
        place / "data",
        "--out",
        place / "controller",
        "--look",
        "released",
        "--preset",
        "paper",
        "--text-encoder",
        place / "clip",
        "--backbone",
        place / "resnet18.pth",
        "--batch-size",
        2,
        "--backgrounds",
        4,
        "--steps",
        1,
        "--workers",
        1,
        "--checked",
        2,
    )
    run(
        "checkpoint",
        "--data",
        place / "data",
        "--diffusion",
        place / "diffusion",
        "--controller",
        place / "controller",
        "--out",
        place / "checkpoint",
        "--preset",
        "sd-turbo",
    )
    run(
        "eval",
        "push_button",
        "--checkpoint",
        place / "checkpoint",
        "--episodes",
        1,
        "--timeout-s",
        0.5,
        "--denoising-steps",
        1,
        "--score-episodes",
        0,
        "--json",
        place / "eval.json",
    )
    assert json.loads((place / "eval.json").read_text())["episodes"] == 1
    assert Checkpoint.open(place / "checkpoint").info.view_size == 256

    # The same ControlNet as if somebody had released it.
    run(
        "convert",
        "agent",
        place / "diffusion" / "agent" / "controlnet",
        place / "released",
        "--base",
        place / "sd-turbo",
    )
    ours, theirs = (DiffusionAgent.load(path) for path in (place / "diffusion" / "agent", place / "released"))
    images = rng.integers(0, 256, (4, 256, 256, 3), dtype="uint8")
    drawings = [agent.draw(images, "push the button", seed=0, steps=1).astype(int) for agent in (ours, theirs)]
    assert abs(drawings[0] - drawings[1]).max() <= 3  # stored in half precision twice
    run(
        "checkpoint",
        "--data",
        place / "data",
        "--diffusion",
        place / "released",
        "--controller",
        place / "controller",
        "--out",
        place / "mixed",
        "--preset",
        "sd-turbo",
    )
