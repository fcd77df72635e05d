"""How a step's work is done must not decide what is learnt."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState

from genima_core.diffusion.building import build
from genima_core.diffusion.train import fit_diffusion
from genima_core.training.config import DiffusionTraining
from genima_core.training.run import STATE

TWO_PROCESSES = """
import pickle, sys
from pathlib import Path
from genima_core.diffusion.building import build
from genima_core.diffusion.train import fit_diffusion
training, cache, config, autoencoder = pickle.loads(Path(sys.argv[1]).read_bytes())
fit_diffusion(training, cache, config, build(config, autoencoder), show_progress=False)
"""

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def config(tiny):
    # No average, so that what is saved is what was learnt; and a rate that does not depend on the length of the run.
    return replace(tiny, ema=0.0, learning_rate=1e-3, warmup_steps=1, schedule="constant")


def learnt(folder):
    return torch.load(folder / STATE, weights_only=True)["parts"]["learner"]


def train(cache, out, config, autoencoder, steps=4, device="cpu", **resources):
    training = DiffusionTraining(out, out, steps=steps, every=2, checked=1, device=device, **resources)
    fit_diffusion(training, cache, config, build(config, autoencoder), show_progress=False)
    return learnt(out)


def assert_close(a, b, **tolerance):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], msg=name, **tolerance)


@pytest.mark.slow
def test_two_processes_learn_what_one_does_in_two_parts_and_resume_exactly(cache, config, autoencoder, tmp_path):
    """Also after a stop: the second launch goes on where the first one ended."""
    alone = train(cache, tmp_path / "alone", config, autoencoder, accumulate=2)
    together = tmp_path / "together"
    (tmp_path / "script.py").write_text(TWO_PROCESSES)
    for steps in (2, 4):
        task = tmp_path / "task.pickle"
        training = DiffusionTraining(together, together, steps=steps, every=2, checked=1, device="cpu")
        task.write_bytes(pickle.dumps((training, cache, config, autoencoder)))
        # What `accelerate launch` starts on several GPUs; on CPUs it starts one process only.
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            "2",
            str(tmp_path / "script.py"),
            str(task),
        ]
        environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=os.getcwd())
        assert done.returncode == 0, done.stderr[-3000:]
    assert_close(learnt(together), alone, rtol=1e-3, atol=1e-5)


def test_checkpointing_changes_nothing(cache, config, autoencoder, tmp_path):
    plain = train(cache, tmp_path / "plain", config, autoencoder)
    again = train(cache, tmp_path / "again", config, autoencoder, checkpointing=True)
    assert_close(again, plain, rtol=1e-4, atol=1e-6)


def test_half_precision_learns_much_the_same_and_keeps_float32(cache, config, autoencoder, tmp_path):
    plain = train(cache, tmp_path / "plain", config, autoencoder, steps=2)
    AcceleratorState._reset_state(True)
    half = train(cache, tmp_path / "half", config, autoencoder, steps=2, precision="bfloat16")
    assert {v.dtype for v in half.values()} == {torch.float32}
    assert_close(half, plain, rtol=0.5, atol=5e-3)  # two steps of 1e-3, whose directions rounding may turn


def test_a_resumed_run_in_parts_ends_where_an_uninterrupted_one_does(cache, config, autoencoder, tmp_path):
    whole = train(cache, tmp_path / "whole", config, autoencoder, accumulate=2)
    train(cache, tmp_path / "stopped", config, autoencoder, steps=2, accumulate=2)
    resumed = train(cache, tmp_path / "stopped", config, autoencoder, accumulate=2)
    assert_close(resumed, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"accumulate": 3}, "a multiple of 3"),
        ({"precision": "float16"}, "float16 needs a GPU"),
    ],
)
def test_impossible_resources_are_refused(cache, config, autoencoder, tmp_path, resources, message):
    with pytest.raises(ValueError, match=message):
        train(cache, tmp_path, config, autoencoder, **resources)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_comes_with_the_remedy(cache, config, autoencoder, tmp_path):
    with pytest.raises(ValueError, match="a torch with CUDA"):
        train(cache, tmp_path, config, autoencoder, device="cuda")


def test_other_parts_are_refused_when_resuming(cache, config, autoencoder, tmp_path):
    train(cache, tmp_path, config, autoencoder, steps=2)
    with pytest.raises(ValueError, match=r"parts \(1 and 2\)"):
        train(cache, tmp_path, config, autoencoder, accumulate=2)


def test_running_out_of_memory_says_what_to_lower(cache, config, autoencoder, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("genima_core.diffusion.train.drawing_loss", full)
    with pytest.raises(RuntimeError, match="--accumulate.*--precision bfloat16.*--batch-size"):
        train(cache, tmp_path, config, autoencoder)
