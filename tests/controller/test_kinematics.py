import numpy as np
import torch

from genima_core.arm import PANDA
from genima_core.controller.kinematics import DrawnFrames, GoalSolver

HOME = torch.tensor(PANDA.home, dtype=torch.float32)


def near_home(count: int, deviation: float, seed: int) -> torch.Tensor:
    return HOME + deviation * torch.randn(count, 7, generator=torch.Generator().manual_seed(seed))


def test_frames_are_where_panda_says(rig):
    q = near_home(20, 0.5, 0)
    expected = PANDA.target_poses(q.numpy())[..., :3, 3]
    np.testing.assert_allclose(DrawnFrames(rig)(q).numpy(), expected, atol=1e-5)


def test_pixels_are_where_the_rig_projects_them(rig):
    q_now, q_target = near_home(5, 0.3, 0), near_home(5, 0.3, 1)
    pixels, depth = DrawnFrames(rig).pixels(q_now, q_target)
    for n in range(5):
        points = PANDA.target_poses(q_target[n].numpy())[:, :3, 3]
        for v, camera in enumerate(rig.cameras):
            T_cam_base = np.linalg.inv(camera.T_base_cam(PANDA.frame_pose(q_now[n].numpy(), "hand")))
            points_cam = points @ T_cam_base[:3, :3].T + T_cam_base[:3, 3]
            np.testing.assert_allclose(depth[n, v], points_cam[:, 2], atol=1e-4)
            seen = points_cam[:, 2] > 0.01
            np.testing.assert_allclose(pixels[n, v][seen], camera.intrinsics.project(points_cam)[seen], atol=0.05)


def test_solver_finds_six_joints_from_exact_keypoints(rig):
    frames = DrawnFrames(rig)
    q_now = near_home(20, 0.2, 0)
    goal = q_now + 0.3 * torch.randn(20, 7, generator=torch.Generator().manual_seed(1))
    pixels, shown = frames.visible(q_now, goal)
    solver = GoalSolver(frames, iterations=12, sigma_px=0.05)
    solved = solver(q_now, pixels, shown.float(), q_now, torch.eye(7) * 10)
    tip_m = (frames(solved) - frames(goal))[:, 3].norm(dim=-1)
    assert tip_m.median() < 1e-3
    assert (solved - goal)[:, :6].abs().median() < 0.01


def test_solver_keeps_the_prior_when_nothing_is_drawn(rig):
    frames = DrawnFrames(rig)
    q_now, prior = near_home(3, 0.1, 0), near_home(3, 0.1, 1)
    pixels = torch.full((3, 4, 4, 2), 20.0)
    solved = GoalSolver(frames)(q_now, pixels, torch.zeros(3, 4, 4), prior, torch.eye(7) * 10)
    torch.testing.assert_close(solved, prior)


def test_one_wrong_sphere_does_not_pull_the_solution_away(rig):
    frames = DrawnFrames(rig)
    q_now = near_home(10, 0.1, 0)
    goal = q_now + 0.1
    pixels, shown = frames.visible(q_now, goal)
    pixels[:, 2, 3] += 25  # the gripper, in one of the views that see it
    solved = GoalSolver(frames)(q_now, pixels, shown.float(), q_now, torch.eye(7) * 10)
    assert (frames(solved) - frames(goal))[:, 3].norm(dim=-1).median() < 0.015
