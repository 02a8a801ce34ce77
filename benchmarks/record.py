"""What a benchmark measured: shown on the terminal, and written as JSON, from which the tables of the docs are made."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
_PACKAGES = ("oidn-jax", "jax", "jaxlib", "flax", "numpy")


def show(name: str, tables: Sequence[Table]) -> None:
    """Prints the tables, and writes `docs/benchmarks/NAME.json` with them and where they were measured."""
    for table in tables:
        Console(width=150).print(table)
    content = {
        "command": f"python -m {shlex.join(_module_and_arguments())}",
        "date": date.today().isoformat(),
        "machine": machine(),
        "tables": [
            {
                "title": str(table.title),
                "columns": [str(column.header) for column in table.columns],
                "rows": [list(row) for row in zip(*(map(str, column.cells) for column in table.columns), strict=True)],
            }
            for table in tables
        ],
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _module_and_arguments() -> list[str]:
    module = ".".join(Path(sys.argv[0]).resolve().with_suffix("").parts[-2:])
    return [module, *sys.argv[1:]]


def machine() -> dict[str, Any]:
    """Versions, processor, cores and memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    instructions = [name for name in ("avx512f", "avx2") if name in _cpuinfo("flags").split()]
    return {
        "processor": _cpuinfo("model name") or platform.machine(),
        "instructions": instructions[0] if instructions else "",
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def _cpuinfo(field: str) -> str:
    """What the system says of the processor; nothing where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")
