"""ACT on keypoints: the goal that they show is solved, and the transformer corrects the way there (preset `demo`)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genima_core.cameras import CameraRig
from genima_core.controller.keypoints import Keypoints, KeypointTokens, PatchResNet, heat_targets
from genima_core.controller.kinematics import DrawnFrames, GoalSolver, straight
from genima_core.controller.network import (
    ACTION,
    STATE,
    ControllerConfig,
    Network,
    Prediction,
    Statistics,
    TrainingBatch,
)
from genima_core.controller.stripes import GRIPPER, LAST, StripeReader

STRIPES_RAD = 0.1
"""How exactly the stripes tell the last joint, about."""


@dataclass(frozen=True)
class KeypointActConfig(ControllerConfig):
    """Small enough for two CPU cores and half an hour, from no pretrained weights; `act` is what the paper has."""

    network: ClassVar[str] = "keypoint-act"

    size: tuple[int, int] = (64, 64)
    text_dim: int = 64
    widths: tuple[int, ...] = (16, 32)
    blocks: tuple[int, ...] = (1, 2)
    strides: tuple[int, ...] = (1, 2)
    film_stages: tuple[int, ...] = (1,)
    """Stages, counted from 0, whose output is modulated by the instruction."""
    descriptor: int = 16
    """Features read at each keypoint (colour, stripes)."""
    hidden: int = 128
    heads: int = 4
    feedforward: int = 256
    encoder_layers: int = 2
    decoder_layers: int = 2
    posterior_layers: int = 1
    dropout: float = 0.0
    """Costs precision: the targets are exact and the data are augmented."""
    joint_dropout: float = 0.0
    """Inside the joint state's projection; none, because a joint error of 0.01 rad is a pixel's tenth."""
    latent: int = 32
    gripper_weight: float = 0.5
    kl_weight: float = 10.0
    position_weight: float = 5.0
    """Of the drawn frames' position error (L1, metres) at the predicted joints: what the drawing shows and what the
    task needs is where the frames end up."""
    keypoint_weight: float = 0.1
    """Of the keypoints' cross-entropy against the projected frames; localises the spheres within a minute instead of
    an hour."""
    turn_weight: float = 0.05
    """Of the cross-entropy of the last joint's turn, which the stripes show."""

    def __post_init__(self) -> None:
        if len({len(self.widths), len(self.blocks), len(self.strides)}) != 1:
            raise ValueError(f"widths {self.widths}, blocks {self.blocks} and strides {self.strides} need one length")
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} must be a multiple of heads {self.heads}")

    @property
    def layer(self) -> dict[str, Any]:
        """Of torch's transformers; layer norm before each block, where ACT has it after: no long warm-up is needed."""
        sizes = {"d_model": self.hidden, "nhead": self.heads, "dim_feedforward": self.feedforward}
        return {**sizes, "dropout": self.dropout, "batch_first": True, "norm_first": True}


@dataclass(frozen=True)
class Reading:
    """What is read off pictures and joints before the transformer: tokens (B, views, hidden), keypoints, the goal that
    they show (B, 7) rad, logits of the last joint's turn from there (B, TURNS), the normalised state (B, 8), the
    goal with that turn (B, 7) rad, and the straight way to it (B, K, 7), to which actions are relative.
    """

    tokens: Tensor
    keypoints: Keypoints
    solved: Tensor
    turns: Tensor
    state: Tensor
    goal: Tensor
    way: Tensor


class KeypointAct(Network):
    """Where the spheres are, and how the gripper's one is turned, is learned; what joints that means is geometry, and
    exact (`GoalSolver`).

    Actions after a demonstration's end are learned as well, as standing still: the last ones before it are those that
    press, and they need their goal learned too.
    """

    config_type = KeypointActConfig
    config: KeypointActConfig
    goal_from_q: Tensor
    """(8, 7): the expected goal, where arms usually go, is (q, 1) @ this."""
    goal_precision: Tensor
    """(7, 7) inverse covariance of the goal about that, 1/rad²."""
    training_only = ("posterior",)

    def __init__(self, config: KeypointActConfig, rig: CameraRig, statistics: Statistics | None = None) -> None:
        super().__init__(config, rig, statistics)
        hidden, K = config.hidden, config.chunk_size
        self.solver, self.stripes = GoalSolver(self.frames), StripeReader(self.frames)
        self.backbone = PatchResNet(config.widths, config.blocks, config.strides, config.film_stages, config.text_dim)
        views = len(rig.cameras)
        self.image_tokens = KeypointTokens(self.backbone.channels, views, config.size, config.descriptor, hidden)
        self.state = nn.Sequential(
            nn.Linear(STATE, hidden), nn.Dropout(config.joint_dropout), nn.Linear(hidden, hidden)
        )
        self.text = nn.Linear(config.text_dim, hidden)
        self.latent = nn.Linear(config.latent, hidden)
        self.goal = nn.Linear(7, hidden)
        # Positions of latent, state, instruction and goal.
        self.slots = nn.Parameter(0.02 * torch.randn(4, hidden))
        self.encoder = _encoder(config, config.encoder_layers)
        layer = nn.TransformerDecoderLayer(**config.layer)
        self.decoder = nn.TransformerDecoder(layer, config.decoder_layers, norm=nn.LayerNorm(hidden))
        self.queries = nn.Parameter(torch.randn(K, hidden))
        self.joint_head = nn.Linear(hidden, 7)
        self.gripper_head = nn.Linear(hidden, 2)

        self.posterior_class = nn.Parameter(0.02 * torch.randn(1, 1, hidden))
        self.posterior_state = nn.Linear(STATE, hidden)
        self.posterior_action = nn.Linear(ACTION, hidden)
        self.posterior_position = nn.Parameter(0.02 * torch.randn(1, K + 2, hidden))
        self.posterior = _encoder(config, config.posterior_layers)
        self.posterior_head = nn.Linear(hidden, 2 * config.latent)
        for block in (self.encoder, self.decoder, self.posterior):
            for p in block.parameters():
                if p.dim() > 1:
                    nn.init.xavier_uniform_(p)
        # The posterior starts as the prior: its divergence, times 10, would else drown all other gradients at first.
        nn.init.zeros_(self.posterior_head.weight)
        nn.init.zeros_(self.posterior_head.bias)

    @classmethod
    def unit_statistics(cls, chunk_size: int) -> Statistics:
        chunk = {"action_mean": torch.zeros(chunk_size, 7), "action_std": torch.ones(chunk_size, 7)}
        goal = {"goal_from_q": torch.eye(8, 7), "goal_precision": 25 * torch.eye(7)}
        return {**super().unit_statistics(chunk_size), **chunk, **goal}

    @classmethod
    def measure(cls, q: Tensor, actions: Tensor, is_pad: Tensor, frames: DrawnFrames) -> Statistics:
        """Those of actions (K, 7) rad are relative to the straight way to the goal."""
        goal = actions[:, -1].double()
        ones = torch.cat([q.double(), torch.ones(len(q), 1, dtype=torch.float64)], -1)
        # A little ridge towards "goal = q": few or equal samples must not make this singular.
        solution = torch.linalg.solve(ones.T @ ones + 0.1 * torch.eye(8), ones.T @ (goal - q.double()))
        goal_from_q = torch.eye(8, 7, dtype=torch.float64) + solution
        error = goal - ones @ goal_from_q
        precision = torch.linalg.inv(error.T @ error / len(q) + 0.03**2 * torch.eye(7)).float()
        # The goal as the network will see it: solved from keypoints that are off by half a pixel.
        pixels, shown = frames.visible(q, actions[:, -1])
        noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
        prior = ones.float() @ goal_from_q.float()
        found = GoalSolver(frames)(q, pixels + 0.5 * noise, shown.float(), prior, precision)
        found[:, LAST] = actions[:, -1, LAST] + STRIPES_RAD * noise[:, 0, 0, 0]
        # Their mean is not taken off: standing still stays at zero, whatever demonstrations do on average.
        rest = (actions - straight(q, found, actions.shape[1])).double()
        keep = (~is_pad).double()[..., None]
        count = keep.sum(0).clamp(min=1)
        mean = (rest * keep).sum(0) / count
        std = (((rest - mean).square() * keep).sum(0) / count).sqrt().clamp(min=0.01)
        return {
            **super().measure(q, actions, is_pad, frames),
            "action_mean": torch.zeros_like(std).float(),
            "action_std": std.float(),
            "goal_from_q": goal_from_q.float(),
            "goal_precision": precision,
        }

    def forward(self, images: Tensor, q: Tensor, gripper: Tensor, text: Tensor) -> Prediction:
        reading = self.read(images, q, gripper, text)
        latent = torch.zeros(len(q), self.config.latent, device=q.device)
        normalised, logits = self.decode(reading, q, text, latent)
        opened = logits.softmax(-1)[..., 1]
        return Prediction(self.joints(normalised, reading), opened, reading.keypoints.pixels, reading.goal)

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        c = self.config
        reading = self.read(batch.images, batch.q, batch.gripper, batch.text)
        target = (batch.actions - reading.way - self.action_mean) / self.action_std
        mean, log_variance = self.encode(reading.state, target, batch.action_gripper)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        normalised, logits = self.decode(reading, batch.q, batch.text, latent)
        opened = (batch.action_gripper > 0.5).long()
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)
        away = (self.frames(self.joints(normalised, reading)) - self.frames(batch.actions)).abs().sum(-1)
        heat = reading.keypoints.heat
        # A cell is as many pixels as the backbone's strides multiply to.
        h, w = (s // (2 * math.prod(c.strides)) for s in reversed(c.size))
        expected = heat_targets(batch.pixels, batch.shown, c.size, h, w)
        return {
            "joints": (normalised - target).abs().mean(),
            "gripper": c.gripper_weight * F.cross_entropy(logits.flatten(0, 1), opened.flatten()),
            "kl": c.kl_weight * divergence.mean(),
            "position": c.position_weight * away.mean(),
            "keypoints": c.keypoint_weight * -(expected * heat.log_softmax(-1)).sum(-1).mean(),
            "turn": c.turn_weight * self.stripes.loss(reading.turns, (batch.actions[:, -1] - reading.solved)[:, LAST]),
        }

    def read(self, images: Tensor, q: Tensor, gripper: Tensor, text: Tensor) -> Reading:
        B, V = images.shape[:2]
        features = self.backbone(images.flatten(0, 1), text.repeat_interleave(V, 0))
        tokens, keypoints = self.image_tokens(features.unflatten(0, (B, V)))
        state = torch.cat([(q - self.q_mean) / self.q_std, gripper[:, None]], -1)
        # Squared: what only might be a sphere must not pull, and a blank picture is full of such places.
        weight = keypoints.weight.detach().square()
        prior = torch.cat([q, torch.ones_like(q[:, :1])], -1) @ self.goal_from_q
        # Where arms usually go counts once some spheres are seen; without any, the arm stays.
        prior = torch.lerp(q, prior, (weight.sum((1, 2)) / 3).clamp(max=1)[:, None])
        solved = self.solver(q, keypoints.pixels.detach(), weight, prior, self.goal_precision)
        turns = self.stripes(images, q, solved, weight[:, :, GRIPPER])
        goal = self.solver.clip(torch.cat([solved[:, :LAST], solved[:, LAST:] + self.stripes.turn(turns.detach())], -1))
        way = straight(q, goal, self.config.chunk_size)
        return Reading(tokens, keypoints, solved, turns, state, goal, way)

    def decode(self, reading: Reading, q: Tensor, text: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised actions (B, K, 7), and logits (B, K, 2) of a closed and an open gripper."""
        goal = self.goal((reading.goal - q) / self.q_std)
        extra = [self.latent(latent), self.state(reading.state), self.text(text), goal]
        memory = self.encoder(torch.cat([torch.stack(extra, 1) + self.slots, reading.tokens], 1))
        out = self.decoder(self.queries.expand(len(q), -1, -1), memory)
        return self.joint_head(out), self.gripper_head(out)

    def joints(self, normalised: Tensor, reading: Reading) -> Tensor:
        return normalised * self.action_std + self.action_mean + reading.way

    def encode(self, state: Tensor, actions: Tensor, action_gripper: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, latent) of the latent, given the normalised actions."""
        chunk = self.posterior_action(torch.cat([actions, action_gripper[..., None]], -1))
        first = self.posterior_class.expand(len(state), -1, -1)
        tokens = torch.cat([first, self.posterior_state(state)[:, None], chunk], 1) + self.posterior_position
        mean, log_variance = self.posterior_head(self.posterior(tokens)[:, 0]).chunk(2, -1)
        return mean, log_variance


def _encoder(config: KeypointActConfig, layers: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(**config.layer)
    return nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(config.hidden), enable_nested_tensor=False)
