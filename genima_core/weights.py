"""Reads weights that others made: nothing in them is executed, and size, completeness and numbers are checked."""

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genima_core.files import check_regular, one_line, read_json

MAX_NUMBER, MAX_LAYERS = 200_000, 256
"""Largest values in a network's configuration, of any number and of layers; CLIP's vocabulary has 49,408 words."""
WEIGHTS = ("*.safetensors", "*.bin")


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """A network's or scheduler's configuration.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or holds larger numbers than any network has.
    """
    path = Path(folder) / name
    config = read_json(path)
    for key, value in config.items():
        most = MAX_LAYERS if "layer" in key and "norm" not in key else MAX_NUMBER
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not abs(number) <= most:
                raise ValueError(f"{path} is damaged: {key} is {number}; the most that a network has is {most}")
    return config


def check_size(build: Callable[[], nn.Module], files: list[Path], what: str) -> None:
    """ValueError if a configuration describes a larger network than its files hold; building it takes no memory."""
    with torch.device("meta"):
        numbers = sum(parameter.numel() for parameter in build().parameters())
    found = sum(path.stat().st_size for path in files)
    if numbers > found:
        raise ValueError(f"{what} describes a network of {numbers} numbers; its weights have {found} bytes")


def check_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    """ValueError if some numbers are NaN or infinite."""
    wrong = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if wrong:
        raise ValueError(f"{what} has weights that are not finite: {', '.join(wrong[:3])}; restore or download it")


def check_unpacked(path: Path) -> None:
    """ValueError for an archive that unpacks to more than its own size; torch.save compresses nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked, packed = sum(part.file_size for part in archive.infolist()), path.stat().st_size
    if unpacked > packed:
        raise ValueError(f"{path} has {packed} bytes and unpacks to {unpacked}; torch.save does not compress")


def read_torch(path: Path) -> Any:
    """What torch.save wrote, read by torch's unpickler for weights, which executes nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or asks for more than weights need.
    """
    check_regular(path)
    try:
        check_unpacked(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds
        if asked := re.search(r"GLOBAL (\S+)", str(error)):
            remedy = "Where it was trained, write it again as torch.save({'agent': agent.state_dict()}, ...)"
            refused = f"{path} asks for {asked[1]}, which weights do not need; nothing was executed"
            raise ValueError(f"{refused}. {remedy}") from error
        raise ValueError(f"{path} cannot be read ({one_line(error)}); copy or download it again") from error


def load_part(kind: Any, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A diffusers model, in which no tensor is missing or unknown.

    Raises:
        FileNotFoundError: there is none in the folder.
        ValueError: it is damaged.
    """
    from diffusers.utils import logging as diffusers_logging

    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"no {kind.__name__} in {folder}: config.json is missing")
    # Many people download large models in half precision only.
    variant = None if any(folder.glob("diffusion_pytorch_model.[sb]*")) else "fp16"
    level = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()  # says in five lines what the error below says in one
    try:
        config = read_config(folder)
        for path in folder.glob("*.bin"):
            check_unpacked(check_regular(path))
        check_size(lambda: kind.from_config(config), [f for p in WEIGHTS for f in folder.glob(p)], str(folder))
        model, report = kind.from_pretrained(
            folder,
            torch_dtype=dtype,
            local_files_only=True,
            variant=variant,
            use_safetensors=any(folder.glob("*.safetensors")),  # or diffusers complains of those that are not there
            output_loading_info=True,
        )
    except Exception as error:  # safetensors, json and diffusers raise different kinds
        raise ValueError(f"{folder} is damaged ({one_line(error)}); restore or download it again") from error
    finally:
        diffusers_logging.set_verbosity(level)
    wrong = {name: sorted(map(str, report[f"{name}_keys"])) for name in ("missing", "unexpected", "mismatched")}
    if any(wrong.values()):
        listed = "; ".join(f"{len(keys)} {name}: {', '.join(keys[:3])} ..." for name, keys in wrong.items() if keys)
        raise ValueError(f"the tensors in {folder} do not fit its config.json ({listed}); restore or download it again")
    check_finite(model.state_dict(), str(folder))
    return model
