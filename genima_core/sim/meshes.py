"""Where the Panda's meshes lie: they come with gymnasium-robotics (Apache-2.0), not with us."""

from importlib.util import find_spec
from pathlib import Path


def mesh_folder() -> Path:
    """Folder with ``visual/`` and ``collision/`` STL files of the Panda.

    Raises:
        RuntimeError: gymnasium-robotics, which ships them, is not installed.
    """
    # Found without importing it: the import would load a whole reinforcement-learning stack.
    spec = find_spec("gymnasium_robotics")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            "the Panda's meshes come with gymnasium-robotics, which is not installed: pip install 'genima_ros[sim]'"
        )
    folder = Path(spec.submodule_search_locations[0], "envs/assets/kitchen_franka/franka_assets/meshes")
    if not folder.is_dir():
        raise RuntimeError(f"gymnasium-robotics has no Panda meshes at {folder}; install version 1.4.2")
    return folder
