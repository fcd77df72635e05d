"""Instructions as the drawing networks want them: prompts, encoded once by one or two frozen CLIP text encoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genima_core.language import TextEncoder, prompt

SUFFIXES = ("", "_2")
"""Of the folders of the first and the second text encoder."""


@dataclass(frozen=True)
class PromptEmbeddings:
    """Encoded prompts."""

    tokens: Tensor
    """(n, tokens, width)."""
    pooled: Tensor | None = None
    """(n, pooled width) of the second encoder; None with one."""

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "PromptEmbeddings":
        return PromptEmbeddings(
            self.tokens.to(device, dtype), None if self.pooled is None else self.pooled.to(device, dtype)
        )


@dataclass(frozen=True)
class Prompts:
    """One text encoder (Stable Diffusion) or two (SDXL)."""

    encoders: tuple[TextEncoder, ...]

    @classmethod
    def load(cls, folder: Path | str, count: int, device: str = "cpu", dtype: torch.dtype | None = None) -> "Prompts":
        """Reads tokenizer/ and text_encoder/, and for two tokenizer_2/ and text_encoder_2/."""
        return cls(tuple(TextEncoder.load(folder, device, suffix, dtype) for suffix in SUFFIXES[:count]))

    def save(self, folder: Path) -> None:
        for encoder, suffix in zip(self.encoders, SUFFIXES, strict=False):
            encoder.save(folder, suffix)

    def check_distinct(self, instructions: Sequence[str]) -> None:
        """ValueError if two instructions are the same to it; see `TextEncoder.check_distinct`."""
        self.encoders[0].check_distinct([prompt(instruction) for instruction in instructions])

    def embed(self, instructions: Sequence[str]) -> PromptEmbeddings:
        """What the networks are told for these instructions."""
        encoded = [[encoder.encode(prompt(i)) for i in instructions] for encoder in self.encoders]
        if len(encoded) == 1:
            return PromptEmbeddings(torch.cat([text.tokens for text in encoded[0]]))
        # SDXL reads both encoders' last layers but one, and the second one's pooled embedding.
        tokens = [torch.cat([text.penultimate for text in texts]) for texts in encoded]
        return PromptEmbeddings(torch.cat(tokens, -1), torch.cat([text.pooled for text in encoded[1]]))
