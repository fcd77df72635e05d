"""Ten thousand hostile chunks: no command breaks a limit of the arm, and nothing raises."""

import numpy as np
import pytest

from genima_core.arm import FR3, PANDA

CHUNKS = 10_000
RUNS = 100
CHUNKS_PER_RUN = CHUNKS // RUNS


def hostile_chunk(rng, q, limits, kind):
    """Positions (n, 7) that are hard to follow; those of the last kind must not be followed at all."""
    n = int(rng.integers(2, 25))
    if kind == 0:
        positions = rng.uniform(limits.lower, limits.upper, (n, 7))
    elif kind == 1:
        positions = np.where(rng.random((n, 7)) < 0.5, limits.lower, limits.upper)
    elif kind == 2:
        positions = q + np.cumsum(rng.normal(0.0, 0.1, (n, 7)), axis=0)
    elif kind == 3:
        positions = q + np.linspace(0, 1, n)[:, None] * rng.uniform(-3, 3, 7)
    elif kind == 4:
        positions = q + rng.normal(0.0, 0.02, (n, 7))
    elif kind in (5, 6):
        # Chunk after chunk the same: the arm arrives at the limits as fast as it can.
        positions = np.tile(limits.upper if kind == 5 else limits.lower, (n, 1))
    else:
        positions = rng.uniform(-4.0, 4.0, (n, 7))
        positions[rng.integers(n), rng.integers(7)] = rng.choice([np.nan, np.inf, -1e300, 3.0])
        return positions
    return np.clip(positions, limits.lower, limits.upper)


def config_of(rng):
    # Chunks that the streamer would refuse as jumps are let through half of the time: its shaping has to cope.
    trusting = {"max_jump_rad": 100.0, "max_speed_ratio": float(rng.choice([5.0, 1e9]))} if rng.random() < 0.5 else {}
    return {
        "arm": (PANDA, FR3)[rng.integers(2)],
        "execution": str(rng.choice(["async", "async", "async", "sync"])),
        "receiver_follows_horizon": bool(rng.random() < 0.3),
        "velocity_scale": float(rng.choice([1.0, 1.0, 0.3])),
        "jerk_factor": float(rng.choice([0.1, 0.1, 1.0])),
        "smoothing": int(rng.integers(2)),
        **trusting,
    }


@pytest.mark.parametrize("shard", range(10))
def test_no_chunk_breaks_a_limit(make_bench, broken_limits, shard):
    chunks = accepted = 0
    for run in range(RUNS // 10):
        rng = np.random.default_rng([shard, run])
        config = config_of(rng)
        limits = config["arm"].limits
        bench = make_bench(rng.uniform(limits.lower, limits.upper), **config)
        bench.step()
        segments = [[bench.q]]
        every = int(rng.integers(1, 6))
        for k in range(CHUNKS_PER_RUN):
            if k % 15 == 0:
                kinds = [*range(5), 7] if rng.random() < 0.6 else [int(rng.choice([5, 6]))]
            positions = hostile_chunk(rng, bench.q, limits, rng.choice(kinds))
            age_s = float(rng.choice([0.0, 0.02, 0.4, -0.1, 9.0], p=[0.5, 0.2, 0.1, 0.15, 0.05]))
            reason = bench.send(positions, age_s, float(rng.choice([0.01, 0.05, 0.2])))
            chunks += 1
            accepted += reason is None
            for _ in range(every):
                bench.connected = rng.random() < 0.97
                wait_s = 0.02 if rng.random() < 0.98 else float(rng.choice([0.001, 0.045, 0.3, -1.0]))
                command = bench.step(wait_s)
                if command.q is None:
                    bench.streamer.reset_fault()
                elif command.restarted or (wait_s > 0.03 and config["receiver_follows_horizon"]):
                    segments.append([command.q])
                else:
                    segments[-1].append(command.q)
        statistics = bench.streamer.statistics(bench.now_s)
        assert statistics.limit_violations == 0
        for q in segments:
            assert not broken_limits(np.array(q), limits)
        bench.connected = True
        bench.streamer.disable()
        assert bench.run(2.5).q is None
    assert chunks == CHUNKS // 10
    assert accepted > 0.1 * chunks
