"""GL is chosen at the first import, so every case runs in an interpreter of its own."""

import os
import subprocess
import sys

import pytest


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    inherited = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    return subprocess.run([sys.executable, "-c", code], env=inherited | environment, capture_output=True, text=True)


def test_both_renderers_use_egl():
    result = run(
        "import os; from genima_core import gl;print(os.environ['MUJOCO_GL'], os.environ['PYOPENGL_PLATFORM'])"
    )
    assert result.stdout.split() == ["egl", "egl"], result.stderr


def test_another_choice_stands():
    result = run("import os; from genima_core import gl; print(os.environ['PYOPENGL_PLATFORM'])", MUJOCO_GL="osmesa")
    assert result.stdout.split() == ["osmesa"], result.stderr


def test_a_missing_library_is_named_with_its_packages():
    code = "import sys; sys.modules['OpenGL.EGL'] = None; from genima_core import gl"
    result = run(code)
    assert result.returncode == 1
    assert "apt-get install libegl1" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("first", ["mujoco", "pyrender"])
def test_the_renderers_import_in_either_order(first):
    second = {"mujoco": "pyrender", "pyrender": "mujoco"}[first]
    result = run(f"from genima_core import gl; import {first}; import {second}")
    assert result.returncode == 0, result.stderr


def test_a_task_alone_loads_where_egl_was_chosen_before():
    result = run("from genima_core.sim.task import make_task; make_task('turn_tap')", MUJOCO_GL="egl")
    assert result.returncode == 0, result.stderr
