"""ACT as GENIMA publishes it: an action chunking transformer with a CVAE and FiLM, on target images (preset `paper`).

Zhao et al. 2023 (ACT), Bharadhwaj et al. 2023 (MT-ACT: FiLM), Shridhar et al. 2024 (GENIMA); for the same weights it
gives RoboBase's numbers. Parameters are named as there, except that what only training needs lies in `posterior`.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genima_core.cameras import CameraRig
from genima_core.config import check_positive
from genima_core.controller.network import ACTION, STATE, Network, Prediction, Statistics, TrainingBatch
from genima_core.controller.resnet import FilmResNet, ResNetConfig


@dataclass(frozen=True)
class ActConfig(ResNetConfig):
    """The paper's values."""

    network: ClassVar[str] = "act"

    language: bool = True
    """Whether the instruction is read, as FiLM in the backbone and as a token."""
    heads: int = 8
    feedforward: int = 2048
    encoder_layers: int = 4
    """Of the transformer, and of the CVAE's encoder."""
    decoder_layers: int = 6
    """All of them count: ACT's first release read the first layer's features by mistake, RoboBase reads the last's."""
    dropout: float = 0.1
    joint_dropout: float = 0.3
    """Inside the joint state's projection, which is GENIMA's: ACT has one linear layer there. The drawing is then not
    ignored."""
    latent: int = 32
    """Width of the CVAE's latent: a sample of the posterior in training, zeros in use."""
    gripper_weight: float = 0.05
    """Of the binary cross-entropy; ACT compares the gripper with L1, as an eighth joint."""
    kl_weight: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "hidden heads feedforward encoder_layers decoder_layers chunk_size")
        if self.hidden % self.heads or self.hidden % 4:
            raise ValueError(f"hidden {self.hidden} must be a multiple of heads {self.heads} and of 4")

    @property
    def layer(self) -> tuple[int, int, int, float]:
        """Arguments of a layer of torch's transformers."""
        return self.hidden, self.heads, self.feedforward, self.dropout


class EncoderLayer(nn.TransformerEncoderLayer):
    """Self-attention, then two linear layers, as in DETR: positions are added to queries and keys of every layer."""

    def forward(  # type: ignore[override]  # takes positions, and no attention mask
        self, x: Tensor, position: Tensor, ignore: Tensor | None = None
    ) -> Tensor:
        """(B, tokens, dim); `position` is broadcastable to x, `ignore` (B, tokens) true where not to look."""
        key = x + position
        attended = self.self_attn(key, key, x, key_padding_mask=ignore, need_weights=False)[0]
        x = self.norm1(x + self.dropout(attended))
        return self.norm2(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


class DecoderLayer(nn.TransformerDecoderLayer):
    """Self-attention of the queries, attention to the memory, then two linear layers."""

    def forward(  # type: ignore[override]  # as above
        self, x: Tensor, memory: Tensor, position: Tensor, query_position: Tensor
    ) -> Tensor:
        """`position` belongs to the memory, `query_position` to x."""
        key = x + query_position
        x = self.norm1(x + self.dropout(self.self_attn(key, key, x, need_weights=False)[0]))
        attended = self.multihead_attn(x + query_position, memory + position, memory, need_weights=False)[0]
        x = self.norm2(x + self.dropout(attended))
        return self.norm3(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


class Encoder(nn.Module):
    """Layers alone: with the norm after each block, none is needed at the end."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        layers = range(config.encoder_layers)
        self.layers = nn.ModuleList(EncoderLayer(*config.layer, batch_first=True) for _ in layers)

    def forward(self, x: Tensor, position: Tensor, ignore: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, position, ignore)
        return x


class Decoder(nn.Module):
    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        layers = range(config.decoder_layers)
        self.layers = nn.ModuleList(DecoderLayer(*config.layer, batch_first=True) for _ in layers)
        self.norm = nn.LayerNorm(config.hidden)

    def forward(self, x: Tensor, memory: Tensor, position: Tensor, query_position: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, memory, position, query_position)
        return self.norm(x)


class Transformer(nn.Module):
    """Features (B, queries, dim) of learned queries (queries, dim) about tokens (B, tokens, dim)."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def forward(self, tokens: Tensor, position: Tensor, queries: Tensor) -> Tensor:
        memory = self.encoder(tokens, position)
        # The queries are positions only; what they stand for starts as zeros.
        start = torch.zeros(len(tokens), *queries.shape, dtype=tokens.dtype, device=tokens.device)
        return self.decoder(start, memory, position, queries)


class Posterior(nn.Module):
    """Mean and log variance (B, latent) of the latent, from the state and the true actions; training only."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.encoder = Encoder(config)
        self.cls_embed = nn.Embedding(1, hidden)
        self.encoder_joint_proj = nn.Linear(STATE, hidden)
        self.encoder_action_proj = nn.Linear(ACTION, hidden)
        self.latent_proj = nn.Linear(hidden, 2 * config.latent)
        self.register_buffer("pos_table", sinusoid_table(2 + config.chunk_size, hidden), persistent=False)

    def forward(self, state: Tensor, actions: Tensor, is_pad: Tensor) -> tuple[Tensor, Tensor]:
        """From state (B, 8), actions (B, K, 8) and their padding mask (B, K)."""
        first = self.cls_embed.weight.expand(len(state), 1, -1)
        tokens = torch.cat([first, self.encoder_joint_proj(state)[:, None], self.encoder_action_proj(actions)], 1)
        ignore = F.pad(is_pad, (2, 0), value=False)
        mean, log_variance = self.latent_proj(self.encoder(tokens, self.pos_table, ignore)[:, 0]).chunk(2, -1)
        return mean, log_variance


class Act(Network):
    """Tokens of latent, state, instruction and each view's cells in, K actions out."""

    config_type = ActConfig
    any_order = True
    config: ActConfig
    training_only = ("posterior.",)

    def __init__(self, config: ActConfig, rig: CameraRig, statistics: Statistics | None = None) -> None:
        super().__init__(config, rig, statistics)
        hidden = config.hidden
        self.backbone = FilmResNet(config.widths, config.blocks, config.film_stages if config.language else (), hidden)
        self.input_proj = nn.Conv2d(self.backbone.channels, hidden, 1)
        self.proj_text_emb = nn.Linear(config.text_dim, hidden) if config.language else None
        self.input_proj_robot_state = nn.Sequential(
            nn.Linear(STATE, hidden), nn.Dropout(config.joint_dropout), nn.Linear(hidden, hidden)
        )
        self.latent_out_proj = nn.Linear(config.latent, hidden)
        self.additional_pos_embed = nn.Embedding(3 if config.language else 2, hidden)
        self.query_embed = nn.Embedding(config.chunk_size, hidden)
        self.transformer = Transformer(config)
        self.action_head = nn.Linear(hidden, ACTION)
        # Of the published weights; no loss ever reached it, and nothing reads it.
        self.is_pad_head = nn.Linear(hidden, 1)
        self.posterior = Posterior(config)

    def forward(self, images: Tensor, q: Tensor, gripper: Tensor, text: Tensor) -> Prediction:
        latent = torch.zeros(len(q), self.config.latent, device=q.device)
        actions = self.decode(images, self.state(q, gripper), text, latent)
        joints = actions[..., :7] * self.action_std + self.action_mean
        # The published evaluation compares the logit, not the probability, with 0.5: its gripper opens above 0.62.
        return Prediction(joints, actions[..., 7].sigmoid())

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        c = self.config
        joints = (batch.actions - self.action_mean) / self.action_std
        opened = (batch.action_gripper > 0.5).to(joints.dtype)
        state = self.state(batch.q, batch.gripper)
        mean, log_variance = self.posterior(state, torch.cat([joints, opened[..., None]], -1), batch.is_pad)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        actions = self.decode(batch.images, state, batch.text, latent)
        # Padding counts as no error, in the mean over all. The published training calls nothing padding.
        keep = (~batch.is_pad).to(joints.dtype)
        distance = (actions[..., :7] - joints).abs().mean(-1)
        cross_entropy = F.binary_cross_entropy_with_logits(actions[..., 7], opened, reduction="none")
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)
        return {
            "joints": (distance * keep).mean(),
            "gripper": c.gripper_weight * (cross_entropy * keep).mean(),
            "kl": c.kl_weight * divergence.mean(),
        }

    def state(self, q: Tensor, gripper: Tensor) -> Tensor:
        """(B, 8): the opening as it is, and the joints normalised."""
        return torch.cat([gripper[:, None], (q - self.q_mean) / self.q_std], -1)

    def decode(self, images: Tensor, state: Tensor, text: Tensor, latent: Tensor) -> Tensor:
        """(B, K, 8): seven normalised joints, and the logit of an open gripper."""
        B, V = images.shape[:2]
        tokens = [self.latent_out_proj(latent), self.input_proj_robot_state(state)]
        embedding = None
        if self.proj_text_emb is not None:
            tokens.append(self.proj_text_emb(text))
            embedding = tokens[-1].repeat_interleave(V, 0)
        features = self.input_proj(self.backbone(images.flatten(0, 1), embedding))
        h, w = features.shape[-2:]
        # (B, hidden, h, V w): the views lie beside each other.
        features = features.unflatten(0, (B, V)).permute(0, 2, 3, 1, 4).flatten(3)
        cells = sine_positions(h, w, self.config.hidden, images.device).repeat(1, V, 1).flatten(0, 1)
        position = torch.cat([self.additional_pos_embed.weight, cells])
        memory = torch.cat([torch.stack(tokens, 1), features.flatten(2).transpose(1, 2)], 1)
        return self.action_head(self.transformer(memory, position, self.query_embed.weight))

    def load_backbone(self, source: str | Path) -> None:
        self.backbone.load_pretrained(source)


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
