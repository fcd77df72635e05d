"""ACT on target images: a transformer that turns drawings, joints and an instruction into a chunk of actions."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genima_core.controller.backbone import FilmResNet, GridTokens, KeypointTokens
from genima_core.controller.config import ControllerConfig
from genima_core.panda import HOME

STATE = 8
"""Seven joints and the gripper."""


@dataclass(frozen=True)
class Statistics:
    """What joints and actions are normalised with."""

    q_mean: Tensor
    q_std: Tensor
    """(7,) rad."""
    action_mean: Tensor
    action_std: Tensor
    """(K, 7) rad; of the differences to the current joints if the configuration says residual."""

    @classmethod
    def unit(cls, chunk_size: int) -> "Statistics":
        return cls(torch.tensor(HOME, dtype=torch.float32), torch.ones(7), torch.zeros(chunk_size, 7),
                   torch.ones(chunk_size, 7))

    @classmethod
    def of(cls, q: Tensor, actions: Tensor, is_pad: Tensor, residual: bool) -> "Statistics":
        """From joints (N, 7), actions (N, K, 7) and their padding mask (N, K).

        Deviations have a floor: a joint that hardly moves in the data must not be blown up to unit variance.
        """
        q, actions = q.double(), actions.double()
        target = actions - q[:, None] if residual else actions
        keep = (~is_pad).double()[..., None]
        count = keep.sum(0).clamp(min=1)
        mean = (target * keep).sum(0) / count
        std = (((target - mean).square() * keep).sum(0) / count).sqrt()
        floor = 0.01 if residual else 0.05
        if residual:
            mean = torch.zeros_like(mean)  # standing still stays at zero, whatever the demonstrations do on average
        return cls(q.mean(0).float(), q.std(0).clamp(min=0.05).float(), mean.float(), std.clamp(min=floor).float())


@dataclass(frozen=True)
class Prediction:
    """What the network makes of a batch."""

    joints: Tensor
    """(B, K, 7) rad."""
    normalised: Tensor
    """(B, K, 7) the same, normalised: what the L1 loss compares."""
    gripper: Tensor
    """(B, K, 2) logits of closed and open."""
    heat: Tensor | None
    """(B, 4, keypoints, cells + 1) logits; None with grid tokens."""
    mean: Tensor | None
    log_variance: Tensor | None
    """(B, latent) of the posterior; None in use."""


class Act(nn.Module):
    """Action chunking transformer with a CVAE (Zhao et al. 2023), FiLM and target images (Genima)."""

    def __init__(self, config: ControllerConfig, statistics: Statistics | None = None):
        super().__init__()
        self.config = config
        statistics = statistics or Statistics.unit(config.chunk_size)
        for name in ("q_mean", "q_std", "action_mean", "action_std"):
            self.register_buffer(name, getattr(statistics, name).clone(), persistent=False)
        hidden, K = config.hidden, config.chunk_size
        self.backbone = FilmResNet(config)
        tokens = GridTokens if config.image_tokens == "grid" else KeypointTokens
        self.image_tokens = tokens(self.backbone.channels, config)
        self.state = nn.Sequential(nn.Linear(STATE, hidden), nn.Dropout(config.joint_dropout), nn.Linear(hidden, hidden))
        self.text = nn.Linear(config.text_dim, hidden)
        self.latent = nn.Linear(config.latent, hidden)
        self.slots = nn.Parameter(0.02 * torch.randn(3, hidden))  # positions of latent, state and instruction
        self.encoder = _encoder(config, config.encoder_layers)
        layer = nn.TransformerDecoderLayer(hidden, config.heads, config.feedforward, config.dropout, batch_first=True,
                                           norm_first=True)
        # Only the last layer's features are read (ACT's first release read the first layer's by mistake).
        self.decoder = nn.TransformerDecoder(layer, config.decoder_layers, norm=nn.LayerNorm(hidden))
        self.queries = nn.Parameter(torch.randn(K, hidden))
        self.joint_head = nn.Linear(hidden, 7)
        self.gripper_head = nn.Linear(hidden, 2)

        self.posterior_class = nn.Parameter(0.02 * torch.randn(1, 1, hidden))
        self.posterior_state = nn.Linear(STATE, hidden)
        self.posterior_action = nn.Linear(STATE, hidden)
        self.posterior_position = nn.Parameter(0.02 * torch.randn(1, K + 2, hidden))
        self.posterior = _encoder(config, config.posterior_layers)
        self.posterior_head = nn.Linear(hidden, 2 * config.latent)
        for block in (self.encoder, self.decoder, self.posterior):
            for p in block.parameters():
                if p.dim() > 1:
                    nn.init.xavier_uniform_(p)

    def forward(self, images: Tensor, q: Tensor, gripper: Tensor, text: Tensor, actions: Tensor | None = None,
                action_gripper: Tensor | None = None, is_pad: Tensor | None = None) -> Prediction:
        """Predicts a chunk; with the true actions given, the latent is a sample of their posterior, else zeros.

        Shapes: images (B, 4, 3, H, W) in [0, 1], q (B, 7) rad, gripper (B,) 0 to 1, text (B, text_dim),
        actions (B, K, 7) rad, action_gripper (B, K) 0 to 1, is_pad (B, K) true where an action does not exist.
        """
        B, V = images.shape[:2]
        state = torch.cat([(q - self.q_mean) / self.q_std, gripper[:, None]], -1)
        mean = log_variance = None
        if actions is None:
            z = torch.zeros(B, self.config.latent, device=images.device)
        else:
            mean, log_variance = self.encode(state, self.normalise(actions, q), action_gripper, is_pad)
            z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()

        # Views are stacked camera-major, so that one repeat of the text fits them.
        features = self.backbone(images.flatten(0, 1), text.repeat_interleave(V, 0))
        tokens, position, heat = self.image_tokens(features.unflatten(0, (B, V)))
        if position is not None:
            tokens = tokens + position
        extra = torch.stack([self.latent(z), self.state(state), self.text(text)], 1) + self.slots
        memory = self.encoder(torch.cat([extra, tokens], 1))
        out = self.decoder(self.queries.expand(B, -1, -1), memory)
        normalised = self.joint_head(out)
        return Prediction(self.denormalise(normalised, q), normalised, self.gripper_head(out), heat, mean, log_variance)

    def encode(self, state: Tensor, actions: Tensor, action_gripper: Tensor,
               is_pad: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, latent) of the latent, given the normalised actions."""
        chunk = self.posterior_action(torch.cat([actions, action_gripper[..., None]], -1))
        tokens = torch.cat([self.posterior_class.expand(len(state), -1, -1), self.posterior_state(state)[:, None],
                            chunk], 1) + self.posterior_position
        mask = torch.cat([torch.zeros_like(is_pad[:, :2]), is_pad], 1)
        mean, log_variance = self.posterior_head(self.posterior(tokens, src_key_padding_mask=mask)[:, 0]).chunk(2, -1)
        return mean, log_variance

    def normalise(self, actions: Tensor, q: Tensor) -> Tensor:
        if self.config.residual:
            actions = actions - q[:, None]
        return (actions - self.action_mean) / self.action_std

    def denormalise(self, actions: Tensor, q: Tensor) -> Tensor:
        actions = actions * self.action_std + self.action_mean
        return actions + q[:, None] if self.config.residual else actions


def _encoder(config: ControllerConfig, layers: int) -> nn.TransformerEncoder:
    # Layer norm before each block, where ACT's default has it after: trains without a long warm-up.
    layer = nn.TransformerEncoderLayer(config.hidden, config.heads, config.feedforward, config.dropout,
                                       batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(config.hidden), enable_nested_tensor=False)
