"""Where models run."""

from collections.abc import Iterator
from contextlib import contextmanager


def choose_device(device: str = "auto") -> str:
    """The device that torch is told, "auto" for cuda where there is one; ValueError: none such, and what to do."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is unknown; valid are cpu, cuda, cuda:1, ...") from None
    if wanted.type != "cuda":
        return device
    if torch.version.cuda is None:
        remedy = 'install that build, make env TORCH="torch==2.13.0 --index-url ...", or use device cpu'
        raise ValueError(
            f"device {device} needs a torch with CUDA, but {torch.__version__} is built without it; {remedy}"
        )
    if not torch.cuda.is_available():
        missing = f"device {device} was asked for, but torch {torch.__version__} finds no GPU"
        raise ValueError(f"{missing}: does nvidia-smi list one? Else use device cpu")
    if (wanted.index or 0) >= (count := torch.cuda.device_count()):
        raise ValueError(f"device {device} does not exist; there are {', '.join(f'cuda:{i}' for i in range(count))}")
    return device


@contextmanager
def out_of_memory(message: str) -> Iterator[None]:
    """RuntimeError: the message, when the GPU's memory does not suffice."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RuntimeError(message) from error
