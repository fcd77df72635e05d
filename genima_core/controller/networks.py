"""The networks by name, and reading which one a folder holds."""

from dataclasses import fields
from pathlib import Path

from genima_core.config import from_overrides
from genima_core.controller.config import PRESETS
from genima_core.controller.network import ControllerConfig, Network
from genima_core.weights import read_config

NETWORKS: dict[str, type[Network]] = {
    network.config_type.network: network
    for network in Network.__subclasses__()
    if any(isinstance(preset.model, network.config_type) for preset in PRESETS.values())
}
"""Those that a preset builds, by the key `network` of config.json."""


def load_config(path: Path) -> ControllerConfig:
    """Reads what `ControllerConfig.save` wrote.

    Raises:
        FileNotFoundError, ValueError: no such file; not a controller's configuration.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; a controller folder holds config.json, model.safetensors, "
            "statistics.json and text_encoder/: restore it or run `genima train controller`"
        )
    try:
        data = read_config(path.parent, path.name)
        name = data.pop("network", None)
        if name not in NETWORKS:
            raise ValueError(f"network is {name!r}; valid are {', '.join(NETWORKS)}")
        kind = NETWORKS[name].config_type
        if missing := [f.name for f in fields(kind) if f.name not in data]:
            raise ValueError(f"missing keys {', '.join(missing)}")
        return from_overrides(kind, data, name)
    except ValueError as error:
        raise ValueError(
            f"{path} is not a controller configuration: {error}; restore it or run `genima train controller`"
        ) from error
