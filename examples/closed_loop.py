"""One closed-loop episode, written out: look, draw, act, stream. `genima.roll_out(cell, policy, seed)` is the same.

python examples/closed_loop.py --seed 20000
"""

from pathlib import Path

import tyro

import genima_core as genima


def main(checkpoint: Path = Path("checkpoints/demo"), seed: int = 20000, timeout_s: float = 12.0) -> bool:
    """Runs the shipped policy on one task in the simulated cell; returns whether it was done."""
    policy = genima.Policy.load(checkpoint)
    cell = genima.Cell(genima.make_task("press_switch"), policy.checkpoint.rig)
    cell.reset(seed)
    streamer, loop = genima.Streamer(cell.arm), genima.ControlLoop(policy.controller, "sync")
    loop.instruction = cell.instruction
    streamer.enable()
    q, width_m = cell.q, cell.arm.gripper.max_width_m
    while cell.time_s < timeout_s and not cell.success():
        now_s = cell.time_s
        streamer.on_joint_state(genima.JointState(cell.q, cell.dq, now_s), now_s)
        loop.on_joint_state(cell.q, cell.gripper, now_s)
        command = streamer.step(now_s)
        loop.on_wanted(command.wants_chunk, now_s)
        if loop.is_due(now_s):
            observation = cell.observe()
            chunk = loop.act(policy.draw(observation, seed), observation.stamp_s)
            if chunk is not None:
                streamer.on_chunk(loop.start(chunk, now_s), now_s)
        q = q if command.q is None else command.q
        width_m = width_m if command.gripper_width_m is None else command.gripper_width_m
        cell.step(q, cell.arm.gripper.to_opening(width_m), streamer.config.period_s)
    print(f"{'solved' if cell.success() else 'not solved'} after {cell.time_s:.1f} s")
    cell.close()
    return cell.success()


if __name__ == "__main__":
    tyro.cli(main)
