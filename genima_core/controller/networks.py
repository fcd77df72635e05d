"""The networks by name, and reading which one a folder holds."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from genima_core.controller.config import PRESETS
from genima_core.controller.network import ControllerConfig, Network

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
        data = json.loads(path.read_text())
        name = data.pop("network", None)
        if name not in NETWORKS:
            raise ValueError(f"network is {name!r}; valid are {', '.join(NETWORKS)}")
        kind = NETWORKS[name].config_type
        valid = [f.name for f in fields(kind)]
        if set(data) != set(valid):
            raise ValueError(
                f"unknown keys {sorted(set(data) - set(valid))}, missing keys "
                f"{sorted(set(valid) - set(data))}; {name} has {', '.join(valid)}"
            )
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return kind(**values)
    except (json.JSONDecodeError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} is no controller configuration: {error}; restore it or run `genima train controller`"
        ) from error
