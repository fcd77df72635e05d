"""A disk that is full while a run is saved is called so, and the last state stays."""

import pytest
import torch

from genima_core.training.config import Training
from genima_core.training.run import STATE, Run


def begin(folder) -> Run:
    return Run(Training(folder, folder), {"model": torch.nn.Linear(2, 2)}, {}, 5)


def test_the_last_state_is_kept(tmp_path):
    with begin(tmp_path) as run:
        run.advance({"loss": 1.0})
        run._save()
        (tmp_path / f"{STATE}.partial").symlink_to("/dev/full")
        run.advance({"loss": 1.0})
        with pytest.raises(OSError, match="is full: make space and start again; what was there before is kept"):
            run._save()
    (tmp_path / f"{STATE}.partial").unlink()
    with begin(tmp_path) as again:
        assert again.step == 1
