"""`genima checkpoint`."""

from pathlib import Path


def checkpoint(
    data: Path,
    diffusion: Path,
    controller: Path,
    out: Path,
    autoencoder: Path | None = None,
    preset: str = "demo",
    results: tuple[Path, ...] = (),
    licence: str = "",
    repeated_by: str = "",
) -> None:
    """Combines trained models into one checkpoint folder.

    Writes its model card as well. An older checkpoint in OUT is replaced at the end.

    Example: genima checkpoint --data data --diffusion runs/diffusion --controller runs/controller --out checkpoints/my

    Args:
        data: Data set that all parts were trained on.
        diffusion: Folder that `genima train diffusion` wrote, or an agent that `genima convert` made.
        controller: Folder that `genima train controller` wrote, or one that `genima convert` made.
        out: Checkpoint folder.
        autoencoder: Folder that `genima train autoencoder` wrote, for the model card.
        preset: Name that the parts were trained with.
        results: Files that `genima eval --json` wrote, for the model card.
        licence: Of the checkpoint, for the model card, such as Apache-2.0; by default the card names none.
        repeated_by: Command that makes it again, for the model card.
    """
    from genima_core.checkpoint import assemble

    assemble(data, diffusion, controller, out, autoencoder, preset, results, licence, repeated_by)
    print(f"{out} is complete\nnext: genima eval TASK --checkpoint {out}")
