"""Where an evaluation comes from: configuration, networks, versions, seeds, hardware."""

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from oidn_jax.version import __version__

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "scipy", "matplotlib")


def describe_run(
    configuration: Mapping[str, Any],
    networks: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
    devices: str,
    command: Sequence[str],
) -> dict[str, Any]:
    """Nested plain values for the report and `metrics.json`.

    Args:
        configuration: by specimen, as plain nested dicts.
        networks: by method, the `origin` of its weights and what it was trained on.
        seed: of the scenes.
        devices: what computes, in words.
        command: as it was typed.
    """
    return {
        "command": shlex.join(command),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "networks": {name: dict(origin) for name, origin in networks.items()},
        "seed": seed,
        "versions": {"oidn_jax": __version__, "python": platform.python_version()}
        | {name: metadata.version(name) for name in _PACKAGES},
        "hardware": {
            "devices": devices,
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": platform.platform(terse=True),
        },
        "configuration": dict(configuration),
    }


def _processor() -> str:
    """The model of the CPU where the system tells it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
