"""Headless OpenGL by EGL: import it before `mujoco` or `pyrender`; a renderer is used in the thread that made it."""

import ctypes
import os
import sys


def use_egl() -> None:
    """Selects EGL for MuJoCo and PyOpenGL, unless the environment chose something else; RuntimeError without one."""
    if sys.platform != "linux":
        return
    backend = os.environ.setdefault("MUJOCO_GL", "egl")
    os.environ.setdefault("PYOPENGL_PLATFORM", backend)
    if backend != "egl":
        return
    try:
        import OpenGL.GL.shaders  # noqa: F401  before EGL: PyOpenGL 3.1.0 cannot look up GL extensions after it
        from OpenGL import EGL
    except (ImportError, AttributeError, OSError) as error:
        remedy = "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
        raise RuntimeError(f"no EGL library found, so nothing can be rendered; {remedy}") from error
    # pyrender pins PyOpenGL 3.1.0, which lacks the one type that MuJoCo's EGL binding takes from it.
    if not hasattr(EGL, "EGLDeviceEXT"):
        EGL.EGLDeviceEXT = ctypes.c_void_p


use_egl()
