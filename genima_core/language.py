"""Instructions as vectors: a frozen CLIP text encoder, pretrained, or tiny and random for the demo preset."""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from genima_core.files import one_line, restore
from genima_core.weights import check_finite, read_config

PROMPT = "tiled perspectives of a robot arm executing '{}'"
"""What a diffusion agent is told, as in the paper; the instruction takes the place of {}."""

MAX_TOKENS = 77
EMPHASIS = 10.0
"""Of the tiny encoder's tokens over their positions."""
START, END = "<|startoftext|>", "<|endoftext|>"


def prompt(instruction: str, template: str = PROMPT) -> str:
    return template.replace("{}", instruction)


@dataclass(frozen=True)
class EncodedText:
    """The features of one text."""

    tokens: Tensor
    """(1, tokens, width) of the last layer."""
    penultimate: Tensor
    """(1, tokens, width) of the layer before it."""
    pooled: Tensor
    """(1, width) of the whole text."""


class TextEncoder:
    """A tokenizer and a frozen text encoder, in two folders as diffusers has them; what it has encoded once is kept."""

    def __init__(self, tokenizer: CLIPTokenizer, model: CLIPTextModel) -> None:
        self.tokenizer = tokenizer
        self.model = model.eval().requires_grad_(False)
        self._cache: dict[str, EncodedText] = {}

    @classmethod
    def tiny(cls, width: int = 64, texts: Iterable[str] = (), seed: int = 0) -> "TextEncoder":
        """A random one: each word of `PROMPT` and of the texts is a token, and all else is spelt.

        Nothing can be downloaded for the demo preset, and telling some dozens of instructions apart needs no training.
        A word is the same token in every sentence, so one that was taught is known in a new sentence too.
        """
        words = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
        vocabulary, merges = _vocabulary([*PROMPT.split()[:-1], *sorted(words)])
        special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
        kind: Any = CLIPTokenizer  # which takes pairs as well as it takes texts
        tokenizer = kind(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS, **special)
        config = CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=width,
            intermediate_size=2 * width,
            projection_dim=width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = CLIPTextModel(config)
        with torch.no_grad():  # which token it is counts for more than where it stands and what is around it
            model.get_input_embeddings().weight.mul_(EMPHASIS)
        return cls(tokenizer, model)

    @classmethod
    def load(
        cls, source: Path | str, device: str = "cpu", suffix: str = "", dtype: torch.dtype | None = None
    ) -> "TextEncoder":
        """Reads a folder that holds tokenizer/ and text_encoder/, or one CLIP model by folder or name.

        `suffix` is "_2" for the second of SDXL's encoders; weights are float32 unless `dtype` says otherwise.
        FileNotFoundError: no such folder, and no such model among the downloaded ones; ValueError: the files are
        damaged.
        """
        folder = Path(source)
        nested = (folder / f"text_encoder{suffix}").is_dir()
        where = [str(folder / f"{part}{suffix}") if nested else str(source) for part in ("tokenizer", "text_encoder")]
        try:
            tokenizer = CLIPTokenizer.from_pretrained(where[0], local_files_only=True, trust_remote_code=False)
            with _no_bars():
                # Stable Diffusion's encoder has no projection; SDXL's second one and CLIP's own have one.
                plain = nested and read_config(Path(where[1])).get("architectures") == ["CLIPTextModel"]
                kind: Any = CLIPTextModel if plain else CLIPTextModelWithProjection
                model, report = kind.from_pretrained(
                    where[1],
                    local_files_only=True,
                    output_loading_info=True,
                    variant="fp16" if nested and not any(Path(where[1]).glob("*model.[sb]*")) else None,
                    dtype=dtype or torch.float32,
                    trust_remote_code=False,
                )
            if report["missing_keys"]:
                raise ValueError(f"tensors are missing: {sorted(report['missing_keys'])[:3]} ...")
            check_finite(model.state_dict(), str(source))
        except OSError as error:
            download = f"get it with `hf download {source}`, or name the folder that holds it"
            remedy = restore(folder) if nested else download
            raise FileNotFoundError(f"no tokenizer{suffix} and text_encoder{suffix} at {source}: {remedy}") from error
        except Exception as error:  # safetensors, json and torch each have their own
            why = one_line(error)
            raise ValueError(f"the text encoder at {source} is damaged ({why}); restore its files") from error
        return cls(tokenizer, model.to(device))

    @classmethod
    def of_width(cls, source: str | None, width: int, texts: Iterable[str] = (), device: str = "cpu") -> "TextEncoder":
        """By folder or name, or None for a tiny one; errors of `load`, ValueError: embeddings of another width."""
        text = cls.load(source, device) if source else cls.tiny(width, texts)
        if text.pooled_width != width:
            given = f"the text encoder {source} gives {text.pooled_width} numbers, the controller reads {width}"
            raise ValueError(f"{given}; leave --text-encoder out, or give one of that width")
        return text

    def save(self, folder: Path | str, suffix: str = "") -> None:
        """Writes tokenizer/ and text_encoder/ into a folder, each with the suffix."""
        for name, part in ((f"tokenizer{suffix}", self.tokenizer), (f"text_encoder{suffix}", self.model)):
            with _no_bars():
                part.save_pretrained(str(Path(folder) / name))

    @property
    def window(self) -> int:
        """Tokens that are read; what is longer is cut."""
        return min(self.tokenizer.model_max_length, MAX_TOKENS)

    @property
    def pooled_width(self) -> int:
        return self.pooled([""]).shape[-1]

    @torch.no_grad()
    def encode(self, text: str) -> EncodedText:
        """What the encoder makes of a text; computed once."""
        if text not in self._cache:
            if len(self.tokenizer(text).input_ids) > self.window:
                cut = f"the text encoder reads {self.window} tokens, so the end of {text[-40:]!r} is cut off"
                warnings.warn(f"{cut}: say it shorter", stacklevel=2)
            out = self.model(self._tokens(text).to(self.model.device), output_hidden_states=True)
            pooled = out.text_embeds if hasattr(out, "text_embeds") else out.pooler_output
            self._cache[text] = EncodedText(out.last_hidden_state, out.hidden_states[-2], pooled)
        return self._cache[text]

    def check_distinct(self, texts: Sequence[str]) -> None:
        """ValueError: two different texts are the same to the encoder, which reads only their beginnings."""
        known: dict[tuple[int, ...], str] = {}
        for text in texts:
            other = known.setdefault(tuple(self._tokens(text)[0].tolist()), text)
            if other != text and self.window < len(self.tokenizer(text).input_ids):
                same = f"{other!r} and {text!r} are the same to the text encoder"
                raise ValueError(f"{same}, which reads {self.window} tokens: say them shorter")

    def _tokens(self, text: str) -> Tensor:
        options = {"padding": "max_length", "truncation": True, "max_length": self.window}
        return self.tokenizer(text, return_tensors="pt", **options).input_ids

    def pooled(self, texts: Sequence[str]) -> Tensor:
        return torch.cat([self.encode(text).pooled for text in texts])


@contextmanager
def _no_bars() -> Iterator[None]:
    """Loading a text encoder takes less time than reading that it is loaded."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _vocabulary(words: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Tokens and merges of a tokenizer that knows every byte, alone or ending a word, and some words."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [START, END, *letters, *(letter + "</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = [*word[:-1], word[-1] + "</w>"]
        left = pieces[0]
        for right in pieces[1:]:
            if (left, right) not in merges:
                merges.append((left, right))
                tokens.append(left + right)
            left += right
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}, merges
