from types import SimpleNamespace

import pytest

from genima_core.device import choose_device
from genima_core.files import restore

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("folder", ["checkpoints/demo", "/cell/checkpoints/demo/diffusion"])
def test_the_shipped_checkpoint_is_restored_by_git(folder):
    assert "git checkout -- checkpoints/demo" in restore(folder)


@pytest.mark.parametrize("folder", ["/cell/mine", "checkpoints/mine", "demo"])
def test_another_folder_is_named(folder):
    assert folder in restore(folder) and "git" not in restore(folder)


@pytest.mark.parametrize(
    ("device", "cuda", "count", "words"),
    [
        ("gpu", None, 0, "'gpu' is unknown; valid are cpu, cuda"),
        ("cuda", None, 0, "built without it; install that build.*or use device cpu"),
        ("cuda:1", "13.0", 0, "finds no GPU: does nvidia-smi list one"),
        ("cuda:2", "13.0", 2, "cuda:2 does not exist; there are cuda:0, cuda:1"),
    ],
)
def test_a_device_that_is_not_there_is_explained(monkeypatch, device, cuda, count, words):
    monkeypatch.setattr(torch, "version", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ValueError, match=words):
        choose_device(device)
    choose_device("cpu")
