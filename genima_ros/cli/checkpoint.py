"""`genima checkpoint`."""

import tyro

from genima_core.checkpoint import Parts, assemble


def checkpoint(parts: tyro.conf.OmitArgPrefixes[Parts]) -> None:
    """Combines trained models into one checkpoint folder.

    Writes its model card as well. An older checkpoint in OUT is replaced at the end.

    Example: genima checkpoint --data data --diffusion runs/diffusion --controller runs/controller --out checkpoints/my
    """
    assemble(parts)
    print(f"{parts.out} is complete\nnext: genima eval TASK --checkpoint {parts.out}")
