"""DETR's transformer: layer norm after each block, and positions added to queries and keys of every layer."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class EncoderLayer(nn.Module):
    """Self-attention, then two linear layers; (B, tokens, dim) throughout."""

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.linear1 = nn.Linear(dim, feedforward)
        self.linear2 = nn.Linear(feedforward, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, position: Tensor, ignore: Tensor | None = None) -> Tensor:
        """`position` is broadcastable to x; `ignore` (B, tokens) is true where a token should not be looked at."""
        key = x + position
        attended = self.self_attn(key, key, x, key_padding_mask=ignore, need_weights=False)[0]
        x = self.norm1(x + self.dropout(attended))
        return self.norm2(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


class DecoderLayer(nn.Module):
    """Self-attention of the queries, attention to the memory, then two linear layers."""

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.linear1 = nn.Linear(dim, feedforward)
        self.linear2 = nn.Linear(feedforward, dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, position: Tensor, query_position: Tensor) -> Tensor:
        """`position` belongs to the memory, `query_position` to x."""
        key = x + query_position
        x = self.norm1(x + self.dropout(self.self_attn(key, key, x, need_weights=False)[0]))
        attended = self.multihead_attn(x + query_position, memory + position, memory, need_weights=False)[0]
        x = self.norm2(x + self.dropout(attended))
        return self.norm3(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


class Encoder(nn.Module):
    """Layers alone: with the norm after each block, none is needed at the end."""

    def __init__(self, layers: int, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, heads, feedforward, dropout) for _ in range(layers))

    def forward(self, x: Tensor, position: Tensor, ignore: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, position, ignore)
        return x


class Decoder(nn.Module):
    """Layers and a last norm."""

    def __init__(self, layers: int, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, feedforward, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, memory: Tensor, position: Tensor, query_position: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, memory, position, query_position)
        return self.norm(x)


class Transformer(nn.Module):
    """Features (B, queries, dim) of learned queries (queries, dim) about tokens (B, tokens, dim)."""

    def __init__(
        self, encoder_layers: int, decoder_layers: int, dim: int, heads: int, feedforward: int, dropout: float
    ) -> None:
        super().__init__()
        self.encoder = Encoder(encoder_layers, dim, heads, feedforward, dropout)
        self.decoder = Decoder(decoder_layers, dim, heads, feedforward, dropout)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def forward(self, tokens: Tensor, position: Tensor, queries: Tensor) -> Tensor:
        memory = self.encoder(tokens, position)
        # The queries are positions only; what they stand for starts as zeros.
        start = torch.zeros(len(tokens), *queries.shape, dtype=tokens.dtype, device=tokens.device)
        return self.decoder(start, memory, position, queries)


def sine_positions(height: int, width: int, dim: int, device: torch.device | str = "cpu") -> Tensor:
    """(height, width, dim): the first half of it encodes the row, the second the column, both scaled to 2 pi."""
    period = 10000 ** (2 * (torch.arange(dim // 2, device=device) // 2) / (dim // 2))

    def encode(count: int) -> Tensor:
        angle = (torch.arange(1, count + 1, device=device) / count * 2 * math.pi)[:, None] / period
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], -1).flatten(1)

    rows = encode(height)[:, None].expand(height, width, -1)
    columns = encode(width)[None].expand(height, width, -1)
    return torch.cat([rows, columns], -1)


def sinusoid_table(count: int, dim: int) -> Tensor:
    """(count, dim) positions in a sequence, sines and cosines in turn ("Attention is all you need")."""
    angle = torch.arange(count, dtype=torch.float64)[:, None] / 10000 ** (2 * (torch.arange(dim) // 2).double() / dim)
    return torch.where(torch.arange(dim) % 2 == 0, angle.sin(), angle.cos()).float()
