"""The room around the arm: table, floor, light and cameras, as a MuJoCo specification."""

import numpy as np

from genima_core import geometry, gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.arm import PANDA, Arm
from genima_core.cameras import CameraRig, Mount, PinholeCamera, RigCamera
from genima_core.sim.arm import FIXED, HAND_BODY, UNTOUCHED, add_arm

import mujoco  # isort: skip

TABLE_TOP_M = 0.0
"""Height of the table's surface in the base frame; the arm is bolted onto it."""
PHYSICS_STEP_S = 0.002

# None of these is red, green, purple, cyan or yellow: those are the colours of the drawn targets.
_TABLE_RGB = (0.60, 0.55, 0.50)
_FLOOR_RGB = (0.42, 0.44, 0.47)
_SKY_RGB = (0.63, 0.68, 0.74)


def default_rig(width: int = 256, height: int = 256, arm: Arm = PANDA) -> CameraRig:
    """The demo's cameras in tile order: wrist, front, right_shoulder, left_shoulder.

    Radii are the paper's. The static cameras see joints 2, 4, 6 and the gripper wherever the experts move.
    """
    T_hand_wrist = geometry.look_at((0.07, 0.0, 0.03), (0.04, 0.0, 0.17), up=(1.0, 0.0, 0.0))
    T_front = geometry.look_at((1.6, 0.0, 0.8), (0.30, 0.0, 0.30))
    T_right, T_left = (geometry.look_at((-0.65, y * 0.85, 1.0), (0.22, y * 0.03, 0.35)) for y in (-1, 1))

    def camera(name: str, mount: Mount, T_mount_cam: np.ndarray, fovy_deg: float, radius_m: float) -> RigCamera:
        return RigCamera(
            name, PinholeCamera.from_fov(width, height, np.deg2rad(fovy_deg)), mount, T_mount_cam, radius_m
        )

    return CameraRig(
        (
            camera("wrist", "hand", T_hand_wrist, 82.0, 0.03),
            camera("front", "base", T_front, 46.0, 0.08),
            camera("right_shoulder", "base", T_right, 39.0, 0.065),
            camera("left_shoulder", "base", T_left, 39.0, 0.065),
        ),
        arm,
    )


def build_scene(rig: CameraRig, buffer_size: tuple[int, int], detailed: bool = True) -> mujoco.MjSpec:
    """Arm on a table, lit and seen by the rig's cameras; tasks add their objects to it.

    `buffer_size` is the largest rendered image, width and height in pixels.
    """
    spec = mujoco.MjSpec()
    spec.option.timestep = PHYSICS_STEP_S
    # Elliptic cones of stiff friction: what the fingers hold does not creep out of them.
    spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.stat.extent, spec.stat.center = 1.0, [0.3, 0.0, 0.3]
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 20.0
    # Software rendering: shadows and multisampling would cost ten times the picture.
    spec.visual.quality.shadowsize = spec.visual.quality.offsamples = 0
    spec.visual.global_.offwidth, spec.visual.global_.offheight = buffer_size
    light = spec.visual.headlight
    light.ambient, light.diffuse, light.specular = [0.38, 0.38, 0.38], [0.30, 0.30, 0.30], [0.0, 0.0, 0.0]
    add_arm(spec, rig.arm, detailed=detailed)
    _add_room(spec.worldbody, spec)
    for camera in rig.cameras:
        _add_camera(spec, camera)
    return spec


def _add_room(world: mujoco.MjsBody, spec: mujoco.MjSpec) -> None:
    sky = spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, width=32, height=192)
    sky.builtin, sky.rgb1, sky.rgb2 = mujoco.mjtBuiltin.mjBUILTIN_FLAT, _SKY_RGB, _SKY_RGB
    lamp = world.add_light(name="lamp", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=False)
    lamp.pos, lamp.dir = [0.3, -0.6, 2.0], [0.15, 0.35, -1.0]
    lamp.diffuse, lamp.specular = [0.45, 0.45, 0.45], [0.1, 0.1, 0.1]
    floor = world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[6, 6, 0.1], **UNTOUCHED)
    floor.pos, floor.rgba = [0, 0, -0.75], [*_FLOOR_RGB, 1]
    table = world.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.65, 0.6, 0.03], **FIXED)
    table.pos, table.rgba = [0.35, 0, TABLE_TOP_M - 0.03], [*_TABLE_RGB, 1]


def _add_camera(spec: mujoco.MjSpec, camera: RigCamera) -> None:
    body = spec.worldbody if camera.mount == "base" else spec.body(HAND_BODY)
    T_mount_gl = geometry.opencv_to_opengl(camera.T_mount_cam)
    pinhole = camera.intrinsics
    pixel_m = 1e-5  # any size of a pixel gives the same picture
    mjs_camera = body.add_camera(name=camera.name, pos=T_mount_gl[:3, 3], quat=geometry.to_quat_wxyz(T_mount_gl))
    mjs_camera.fovy = np.rad2deg(pinhole.fovy_rad)
    mjs_camera.resolution = [pinhole.width, pinhole.height]
    mjs_camera.sensor_size = [pixel_m * pinhole.width, pixel_m * pinhole.height]
    mjs_camera.focal_pixel = [pinhole.fx, pinhole.fy]
    # MuJoCo's is the other way round: the image's centre as seen from the principal point.
    mjs_camera.principal_pixel = [(pinhole.width - 1) / 2 - pinhole.cx, (pinhole.height - 1) / 2 - pinhole.cy]
