"""How long rendering the targets takes, beside stock pyrender, and how well they are found again.

python benchmarks/targets.py --json targets.json
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from genima_core.arm import PANDA
from genima_core.cameras import CameraRig, PinholeCamera, RigCamera
from genima_core.files import write_json
from genima_core.geometry import look_at, opencv_to_opengl
from genima_core.targets.backgrounds import ProceduralBackgrounds
from genima_core.targets.detect import score_drawing
from genima_core.targets.draw import over_backgrounds, over_observation
from genima_core.targets.renderer import TargetRenderer

"""For four 256×256 views on two CPU cores."""


def main(repeats: int = 60, seed: int = 10000, json: Path | None = None) -> None:
    """Measures medians.

    Args:
        repeats: how often each thing is done
        seed: of poses and backgrounds
        json: where to write the results for machines
    """
    rng = np.random.default_rng(seed)
    rows = []
    for size in (64, 128, 256):
        rows += _measure(make_rig(size), rng, repeats)
    write_json(json, {"rows": rows})
    _show(rows)


def make_rig(size: int) -> CameraRig:
    """Cameras about where the demo has them."""

    def base_camera(name: str, eye: tuple, radius_m: float) -> RigCamera:
        return RigCamera(
            name, PinholeCamera.from_fov(size, size, 0.75), "base", look_at(eye, (0.25, 0.0, 0.35)), radius_m
        )

    T_hand_cam = look_at((0.07, 0.0, 0.03), (0.04, 0.0, 0.17), up=(1.0, 0.0, 0.0))
    return CameraRig(
        (
            RigCamera("wrist", PinholeCamera.from_fov(size, size, 1.4), "hand", T_hand_cam, 0.03),
            base_camera("front", (1.6, 0.0, 0.8), 0.08),
            base_camera("right_shoulder", (-0.65, -0.85, 1.0), 0.065),
            base_camera("left_shoulder", (-0.65, 0.85, 1.0), 0.065),
        )
    )


def _measure(rig: CameraRig, rng: np.random.Generator, repeats: int) -> list[dict]:
    size = rig.size[0]
    poses = [(PANDA.home + 0.15 * rng.standard_normal(7), 0.1 * rng.standard_normal(7)) for _ in range(repeats)]
    poses = [(q, q + step) for q, step in poses]
    renderer = TargetRenderer(rig)
    renderer.render(*poses[0], 1.0)
    render_ms, views = _times(lambda i: renderer.render(*poses[i], i % 2), repeats)
    renderer.close()
    stock_ms = _stock_ms(renderer, poses)  # after closing: stock pyrender ends the EGL display for everyone
    backgrounds_ms, pictures = _times(lambda i: ProceduralBackgrounds().sample(rng, 4, size, size), repeats)
    draw_ms, drawn = _times(lambda i: over_observation(views[i], pictures[i]), repeats)
    opacity_ms, _ = _times(lambda i: over_backgrounds(views[i], pictures[i], rng), repeats)
    score_ms, scores = _times(lambda i: score_drawing(drawn[i], views[i], pictures[i]), repeats)
    found = np.concatenate([s.found[s.visible] for s in scores])
    errors = np.concatenate([s.error_px[s.found] for s in scores])
    label = f"4 views {size}x{size}"
    return [
        {
            "name": f"render {label}",
            "device": "cpu",
            "ours_ms": render_ms,
            "stock_ms": stock_ms,
            "ratio": round(render_ms / stock_ms, 3),
        },
        {"name": f"backgrounds {label}", "device": "cpu", "ours_ms": backgrounds_ms},
        {"name": f"over observation {label}", "device": "cpu", "ours_ms": draw_ms},
        {"name": f"over backgrounds {label}", "device": "cpu", "ours_ms": opacity_ms},
        {
            "name": f"find in drawing {label}",
            "device": "cpu",
            "ours_ms": score_ms,
            "found": round(float(found.mean()), 4),
            "error_px_median": round(float(np.median(errors)), 3),
        },
    ]


def _times(work: Callable, repeats: int) -> tuple[float, list]:
    """Median in ms, and the results, of `work(i)`."""
    times_s, results = [], []
    for i in range(repeats):
        begin_s = time.perf_counter()
        results.append(work(i))
        times_s.append(time.perf_counter() - begin_s)
    return round(1e3 * float(np.median(times_s)), 2), results


def _stock_ms(renderer: TargetRenderer, poses: list) -> float:
    """pyrender's own offscreen renderer with the same meshes, everything built once, one call per view."""
    import pyrender

    width, height = renderer.rig.size
    stock = pyrender.OffscreenRenderer(width, height)
    scene = pyrender.Scene(bg_color=(0.0, 0.0, 0.0, 0.0))
    spheres = [
        scene.add(pyrender.Mesh([pyrender.Primitive(positions=p.positions, color_0=p.color_0)]))
        for p in (node.mesh.primitives[0] for node in renderer.sphere_nodes(1.0))
    ]
    cameras = [
        scene.add(pyrender.IntrinsicsCamera(k.fx, k.fy, k.cx + 0.5, k.cy + 0.5, znear=0.003, zfar=10.0))
        for k in (c.intrinsics for c in renderer.rig.cameras)
    ]

    def render(i: int) -> None:
        q_now, q_target = poses[i]
        T_base_hand = PANDA.frame_pose(q_now, "hand")
        for camera, node in zip(renderer.rig.cameras, cameras, strict=True):
            scene.set_pose(node, opencv_to_opengl(camera.T_base_cam(T_base_hand)))
            for sphere, T_base_target in zip(spheres, PANDA.target_poses(q_target), strict=True):
                scene.set_pose(sphere, T_base_target @ np.diag([camera.target_radius_m] * 3 + [1.0]))
            scene.main_camera_node = node
            stock.render(scene, pyrender.RenderFlags.FLAT | pyrender.RenderFlags.RGBA)

    render(0)
    return _times(render, len(poses))[0]


def _show(rows: list[dict]) -> None:
    table = Table("what", "ms", "stock pyrender, ms", "found", "median error, px")
    for row in rows:
        table.add_row(
            row["name"], *(str(row.get(key, "")) for key in ("ours_ms", "stock_ms", "found", "error_px_median"))
        )
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
