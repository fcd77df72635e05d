"""ACT on target images: a transformer that turns drawings, joints and an instruction into a chunk of actions."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn

from genima_core.cameras import CameraRig
from genima_core.controller.backbone import FilmResNet, GridTokens, Keypoints, KeypointTokens
from genima_core.controller.config import ControllerConfig
from genima_core.controller.goal import GoalSolver
from genima_core.controller.kinematics import DrawnFrames
from genima_core.panda import HOME

STATE = 8
"""Seven joints and the gripper."""


@dataclass(frozen=True)
class Statistics:
    """What joints and actions are normalised with, and where arms usually go."""

    q_mean: Tensor
    q_std: Tensor
    """(7,) rad."""
    action_mean: Tensor
    action_std: Tensor
    """(K, 7) rad, of the actions relative to the configuration's base."""
    goal_from_q: Tensor
    """(8, 7): the expected goal is (q, 1) @ this."""
    goal_precision: Tensor
    """(7, 7) inverse covariance of the goal about that, 1/rad²."""

    @classmethod
    def unit(cls, chunk_size: int) -> "Statistics":
        """Of no data."""
        return cls(torch.tensor(HOME, dtype=torch.float32), torch.ones(7), torch.zeros(chunk_size, 7),
                   torch.ones(chunk_size, 7), torch.eye(8, 7), 25 * torch.eye(7))

    @classmethod
    def of(cls, q: Tensor, actions: Tensor, is_pad: Tensor, base: str, frames: DrawnFrames) -> "Statistics":
        """From joints (N, 7), actions (N, K, 7) and their padding mask (N, K).

        Deviations have a floor: a joint that hardly moves in the data must not be blown up to unit variance.
        """
        goal = actions[:, -1].double()
        ones = torch.cat([q.double(), torch.ones(len(q), 1, dtype=torch.float64)], -1)
        # A little ridge towards "goal = q": few or equal samples must not make this singular.
        usual = torch.eye(8, 7, dtype=torch.float64)
        solution = torch.linalg.solve(ones.T @ ones + 0.1 * torch.eye(8), ones.T @ (goal - q.double()))
        goal_from_q = usual + solution
        error = goal - ones @ goal_from_q
        covariance = error.T @ error / len(q) + 0.03**2 * torch.eye(7)
        precision = torch.linalg.inv(covariance).float()
        start = torch.zeros(1, 1, 7)
        if base == "now":
            start = q[:, None]
        elif base == "goal":  # as the network will see it: solved from keypoints that are off by half a pixel
            pixels, shown = frames.visible(q, actions[:, -1])
            noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
            solver = GoalSolver(frames).to(q.device)
            found = solver(q, pixels + 0.5 * noise.to(q.device), shown.float(), ones.float() @ goal_from_q.float(),
                           precision)
            start = straight(q, found, actions.shape[1])
        target = (actions - start).double()
        keep = (~is_pad).double()[..., None]
        count = keep.sum(0).clamp(min=1)
        mean = (target * keep).sum(0) / count
        std = (((target - mean).square() * keep).sum(0) / count).sqrt()
        if base != "none":
            mean = torch.zeros_like(mean)  # standing still stays at zero, whatever the demonstrations do on average
        floor = 0.05 if base == "none" else 0.01
        return cls(q.mean(0), q.std(0).clamp(min=0.05), mean.float(), std.clamp(min=floor).float(),
                   goal_from_q.float(), precision)

    def save(self, path: Path) -> None:
        Path(path).write_text(json.dumps({f.name: getattr(self, f.name).tolist() for f in fields(self)}) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Statistics":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError, ValueError: no such file; damaged.
        """
        data = json.loads(Path(path).read_text())
        names = [f.name for f in fields(cls)]
        if not isinstance(data, dict) or set(data) != set(names):
            raise ValueError(f"{path} needs the keys {names}")
        return cls(**{name: torch.tensor(data[name], dtype=torch.float32) for name in names})


def straight(q: Tensor, goal: Tensor, chunk_size: int) -> Tensor:
    """(B, K, 7) equal steps from q (B, 7), which is not among them, to goal (B, 7), which is the last."""
    part = torch.arange(1, chunk_size + 1, device=q.device, dtype=q.dtype)[:, None] / chunk_size
    return torch.lerp(q[:, None], goal[:, None], part)


@dataclass(frozen=True)
class Prediction:
    """What the network makes of a batch."""

    joints: Tensor
    """(B, K, 7) rad."""
    normalised: Tensor
    """(B, K, 7) the same, normalised: what the L1 loss compares."""
    gripper: Tensor
    """(B, K, 2) logits of closed and open."""
    base: Tensor
    """(B, K, 7) or broadcastable: what `joints` were predicted relative to."""
    keypoints: Keypoints | None
    """None with grid tokens."""
    mean: Tensor | None
    log_variance: Tensor | None
    """(B, latent) of the posterior; None in use."""


class Act(nn.Module):
    """Action chunking transformer with a CVAE (Zhao et al. 2023), FiLM and target images (Genima)."""

    def __init__(self, config: ControllerConfig, rig: CameraRig, statistics: Statistics | None = None):
        super().__init__()
        self.config = config
        statistics = statistics or Statistics.unit(config.chunk_size)
        for field in fields(Statistics):
            self.register_buffer(field.name, getattr(statistics, field.name).clone(), persistent=False)
        self.frames = DrawnFrames(rig)
        self.solver = GoalSolver(self.frames)
        hidden, K = config.hidden, config.chunk_size
        self.backbone = FilmResNet(config)
        tokens = GridTokens if config.image_tokens == "grid" else KeypointTokens
        self.image_tokens = tokens(self.backbone.channels, config)
        self.state = nn.Sequential(nn.Linear(STATE, hidden), nn.Dropout(config.joint_dropout),
                                   nn.Linear(hidden, hidden))
        self.text = nn.Linear(config.text_dim, hidden)
        self.latent = nn.Linear(config.latent, hidden)
        self.goal = nn.Linear(7, hidden) if config.base == "goal" else None
        # Positions of latent, state, instruction and, if there is one, goal.
        self.slots = nn.Parameter(0.02 * torch.randn(3 if self.goal is None else 4, hidden))
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
        # The posterior starts as the prior: its divergence, times 10, would else drown all other gradients at first.
        nn.init.zeros_(self.posterior_head.weight)
        nn.init.zeros_(self.posterior_head.bias)

    @property
    def statistics(self) -> Statistics:
        return Statistics(**{f.name: getattr(self, f.name) for f in fields(Statistics)})

    def forward(self, images: Tensor, q: Tensor, gripper: Tensor, text: Tensor, actions: Tensor | None = None,
                action_gripper: Tensor | None = None, is_pad: Tensor | None = None) -> Prediction:
        """Predicts a chunk; with the true actions given, the latent is a sample of their posterior, else zeros.

        Shapes: images (B, 4, 3, H, W) in [0, 1], q (B, 7) rad, gripper (B,) 0 to 1, text (B, text_dim),
        actions (B, K, 7) rad, action_gripper (B, K) 0 to 1, is_pad (B, K) true where an action does not exist.
        """
        B, V = images.shape[:2]
        features = self.backbone(images.flatten(0, 1), text.repeat_interleave(V, 0))
        tokens, position, keypoints = self.image_tokens(features.unflatten(0, (B, V)))
        if position is not None:
            tokens = tokens + position
        base, goal = self.start(q, keypoints)

        state = torch.cat([(q - self.q_mean) / self.q_std, gripper[:, None]], -1)
        mean = log_variance = None
        z = torch.zeros(B, self.config.latent, device=images.device)
        if actions is not None:
            mean, log_variance = self.encode(state, self.normalise(actions, base), action_gripper, is_pad)
            z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        extra = [self.latent(z), self.state(state), self.text(text)]
        if self.goal is not None:
            extra.append(self.goal((goal - q) / self.q_std))
        memory = self.encoder(torch.cat([torch.stack(extra, 1) + self.slots, tokens], 1))
        out = self.decoder(self.queries.expand(B, -1, -1), memory)
        normalised = self.joint_head(out)
        joints = normalised * self.action_std + self.action_mean + base
        return Prediction(joints, normalised, self.gripper_head(out), base, keypoints, mean, log_variance)

    def start(self, q: Tensor, keypoints: Keypoints | None) -> tuple[Tensor, Tensor | None]:
        """What the actions are predicted relative to, (B, K, 7) or broadcastable, and the goal (B, 7) if solved."""
        if self.config.base == "none":
            return torch.zeros(1, 1, 7, device=q.device), None
        if self.config.base == "now":
            return q[:, None], None
        # Squared: what only might be a sphere must not pull, and a blank picture is full of such places.
        weight = keypoints.weight[:, :, :4].detach().square()
        prior = torch.cat([q, torch.ones_like(q[:, :1])], -1) @ self.goal_from_q
        # Where arms usually go counts once some spheres are seen; without any, the arm stays.
        prior = torch.lerp(q, prior, (weight.sum((1, 2)) / 3).clamp(max=1)[:, None])
        goal = self.solver(q, keypoints.pixels[:, :, :4].detach(), weight, prior, self.goal_precision)
        return straight(q, goal, self.config.chunk_size), goal

    def encode(self, state: Tensor, actions: Tensor, action_gripper: Tensor,
               is_pad: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, latent) of the latent, given the normalised actions."""
        chunk = self.posterior_action(torch.cat([actions, action_gripper[..., None]], -1))
        tokens = torch.cat([self.posterior_class.expand(len(state), -1, -1), self.posterior_state(state)[:, None],
                            chunk], 1) + self.posterior_position
        mask = torch.cat([torch.zeros_like(is_pad[:, :2]), is_pad], 1)
        mean, log_variance = self.posterior_head(self.posterior(tokens, src_key_padding_mask=mask)[:, 0]).chunk(2, -1)
        return mean, log_variance

    def normalise(self, actions: Tensor, base: Tensor) -> Tensor:
        return (actions - base - self.action_mean) / self.action_std


def _encoder(config: ControllerConfig, layers: int) -> nn.TransformerEncoder:
    # Layer norm before each block, where ACT's default has it after: trains without a long warm-up.
    layer = nn.TransformerEncoderLayer(config.hidden, config.heads, config.feedforward, config.dropout,
                                       batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(config.hidden), enable_nested_tensor=False)
