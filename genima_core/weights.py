"""Weights on disk and on a device: what to do about a broken folder, and whether the device is there at all."""

from pathlib import Path

DEMO = Path("checkpoints/demo")


def restore(folder: Path | str) -> str:
    """How to get a folder of weights back, or what is in it."""
    if any(part.parts[-2:] == DEMO.parts for part in (Path(folder), *Path(folder).parents)):
        return f"`git checkout -- {DEMO}` restores the shipped one, `make demo-checkpoint` trains it again"
    return f"copy {folder} again from where it was made, or use the shipped {DEMO}"


def check_device(device: str) -> None:
    """Raises ValueError where there is no such device for torch, with what to do about it."""
    import torch

    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is unknown; valid are cpu, cuda, cuda:1, ...") from None
    if wanted.type != "cuda":
        return
    if torch.version.cuda is None:
        raise ValueError(
            f"device {device} needs a torch with CUDA, but {torch.__version__} is built without: install that build, "
            'make env TORCH="torch==2.13.0 --index-url ...", or use device cpu'
        )
    if not torch.cuda.is_available():
        raise ValueError(
            f"device {device} was asked for, but torch {torch.__version__} finds no GPU: does nvidia-smi list one? "
            "Else use device cpu"
        )
    if (wanted.index or 0) >= (count := torch.cuda.device_count()):
        raise ValueError(f"device {device} does not exist; there are {', '.join(f'cuda:{i}' for i in range(count))}")
