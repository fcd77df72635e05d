"""The sections "I have ..." of docs/training.md, typed as they stand in a folder with files of the true layout."""

import re
import shlex
from pathlib import Path

import huggingface_hub.constants
import pytest
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from genima_core.cameras import CameraRig
from genima_core.checkpoint import Checkpoint
from genima_core.data.dataset import Dataset
from genima_core.diffusion.agent import DiffusionAgent
from genima_core.diffusion.building import load_base
from genima_core.language import TextEncoder
from genima_core.sim.scene import default_rig
from genima_core.targets.look import RELEASED
from genima_ros.cli import main as cli

from .controller import published
from .data import lerobot_source, rlbench_source, synthetic
from .data.bags import recorded
from .diffusion.bases import save_base
from .test_documents import blocks

PAGE = Path(__file__).parents[1] / "docs" / "training.md"
BRIEFLY = ["--steps", "1", "--batch-size", "2", "--checked", "1", "--workers", "1"]
CLIP = CLIPTextConfig(
    hidden_size=16, intermediate_size=16, projection_dim=512, num_hidden_layers=1, num_attention_heads=2, eos_token_id=1
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fresh_accelerate")]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in, and downloaded models: tiny ones of the true classes."""
    hub = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub))
    save_base(downloaded(hub, "stabilityai/sd-turbo"), "sd")
    text, clip = TextEncoder.tiny(16), downloaded(hub, "openai/clip-vit-base-patch32")
    text.tokenizer.save_pretrained(clip)
    CLIP.vocab_size = len(text.tokenizer)
    CLIPTextModelWithProjection(CLIP).save_pretrained(clip)
    folder = tmp_path / "lab"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def downloaded(hub: Path, name: str) -> Path:
    """Folder of a model, as `hf download` keeps them."""
    model = hub / f"models--{name.replace('/', '--')}"
    for part, text in (("refs/main", "abc"), ("snapshots/abc/.keep", "")):
        (model / part).parent.mkdir(parents=True)
        (model / part).write_text(text)
    return model / "snapshots/abc"


def commands(section: str) -> list[list[str]]:
    """Of the code of a section, without `genima`; trainings are short, and on a CPU."""
    (text,) = re.findall(rf"^## {section}\n(.*?)^## ", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line.replace("cuda", "cpu")) for line in blocks(text).splitlines()]
    assert len(lines) == 3 and all(line[0] == "genima" for line in lines)
    return [line[1:] + (BRIEFLY if line[1] == "train" else []) for line in lines]


def type_in(*lines: list[str]) -> None:
    for line in lines:
        assert cli.run(line) == 0, line


def test_i_have_rlbench_data_and_the_released_checkpoints(place):
    rlbench_source.write_variation(place / "rlbench/train", episodes=3, rig=synthetic.rig(128))
    convert, *others = commands("I have RLBench data")
    type_in(convert, *others)
    assert Dataset(place / "data/rlbench").rig.size == (256, 256)
    assert (place / "pictures/window_00.png").is_file()
    assert DiffusionAgent.load(place / "runs/rlbench/diffusion/agent").cameras == synthetic.rig().names

    released = place / "25_tasks"
    network = load_base("sd", "stabilityai/sd-turbo").controlnet
    network.save_pretrained(released / "diffusion_sdturbo_R256x4_tiled/checkpoint-1000/controlnet")
    settings = published.settings(published.PAPER)
    published.write(released / "controller_act", published.state_dict(published.PAPER), settings)
    type_in(*commands("I have the released checkpoints"))
    checkpoint = Checkpoint.open(place / "checkpoints/released")
    assert (checkpoint.look, checkpoint.info.chunk_size, checkpoint.rig.size) == (RELEASED, 20, (256, 256))
    assert list(checkpoint.rig.names) == settings["env"]["cameras"]


def test_i_have_a_lerobot_set(place):
    lerobot_source.write(place / "droid", picture_camera=None)
    whole = default_rig(lerobot_source.WIDTH, lerobot_source.HEIGHT)
    names = ("wrist", "left", "right")
    cameras = [whole[name] for name in ("wrist", "left_shoulder", "right_shoulder")]
    renamed = (type(c)(n, c.intrinsics, c.mount, c.T_mount_cam, 0.05) for n, c in zip(names, cameras, strict=True))
    CameraRig(tuple(renamed)).save(place / "rig.json")
    type_in(*commands("I have a LeRobot set"))
    assert Dataset(place / "data/droid").rig.names == names
    assert DiffusionAgent.load(place / "runs/droid/diffusion/agent").views == 3


def test_i_have_bags(place):
    wide, begun_s = default_rig(96, 64), recorded.BEGUN_S
    wide.save(place / "rig.json")

    def resting(stamp_s: float) -> float:
        """From 1.5 to 3 s after the beginning."""
        return min(stamp_s, max(begun_s + 1.5, stamp_s - 1.5))

    recorded.write(place / "session/monday", recorded.Plan(4.5, wide, arm_time_s=resting, without=("instruction",)))
    (place / "session/monday/episode.json").unlink()
    type_in(*commands("I have bags"))
    assert len(Dataset(place / "data/session")) == 2
    assert set(Dataset(place / "data/session").instructions) == {"open the box"}
