"""One task a file, named as in RLBench."""

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
