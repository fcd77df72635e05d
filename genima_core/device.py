"""Which device the networks run on."""


def choose_device(name: str = "auto") -> str:
    """What torch calls the device: "auto" is cuda where there is one, else cpu.

    Raises:
        ValueError: a GPU is named and torch sees none.
    """
    import torch  # not at the top: whoever only passes the name on needs no torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if torch.device(name).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device is {name!r}, but torch {torch.__version__} sees no GPU: install its CUDA build "
            '(make env TORCH="torch==... --index-url ..."), or use cpu'
        )
    return name
