"""What a benchmark has measured: tables of numbers, printed at once and kept as JSON in docs/benchmarks/.

`benchmarks.tables` writes the tables of docs/*.md from these files, so that no number is typed.
"""

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from oidn_jax.data.atomic import write_json

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "benchmarks"


@dataclass(frozen=True)
class Column:
    """A column: its title, and the form of a cell as of `str.format`, which takes one value or a list of them."""

    title: str
    form: str = "{}"

    def text(self, value: Any) -> str:
        """A cell in print; None is an empty one."""
        if value is None:
            return ""
        return self.form.format(*value) if isinstance(value, list | tuple) else self.form.format(value)


@dataclass(frozen=True)
class RecordedTable:
    """A table of numbers.

    Attributes:
        name: of the table in its benchmark.
        title: what was measured, on the console.
        columns: the first one names the rows.
        rows: a value, a list of values or None for each column.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]

    def texts(self) -> list[list[str]]:
        """All cells in print."""
        return [[column.text(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]

    def print(self) -> None:
        """Prints it on the console."""
        table = Table(title=self.title)
        for number, column in enumerate(self.columns):
            table.add_column(column.title, justify="right" if number else "left")
        for row in self.texts():
            table.add_row(*row)
        Console(width=150).print(table)

    def markdown(self) -> str:
        """The same for a page."""
        lines = [[column.title for column in self.columns], ["---"] * len(self.columns), *self.texts()]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def record(benchmark: str, tables: Sequence[RecordedTable]) -> None:
    """Writes docs/benchmarks/BENCHMARK.json: the tables, and on what they were measured."""
    packages = ("oidn-jax", "jax", "jaxlib", "flax", "numpy")
    content = {
        "command": " ".join(["python -m", f"benchmarks.{benchmark}", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "versions": {"python": platform.python_version()} | {package: version(package) for package in packages},
        "machine": {"cpu": cpu(), "cores": cores(), "memory_gib": memory_gib()},
        "tables": {table.name: asdict(table) for table in tables},
    }
    path = FOLDER / f"{benchmark}.json"
    write_json(path, json.loads(json.dumps(content, default=np.generic.item)))
    print(f"wrote {path}")


def load(benchmark: str) -> tuple[dict[str, RecordedTable], str]:
    """The tables of a record by name, and in words on what they were measured."""
    content = json.loads((FOLDER / f"{benchmark}.json").read_text(encoding="utf-8"))
    tables = {
        name: RecordedTable(
            name, table["title"], [Column(c["title"], c["form"]) for c in table["columns"]], table["rows"]
        )
        for name, table in content["tables"].items()
    }
    machine, versions = content["machine"], content["versions"]
    where = (
        f"`{content['command']}`, {content['date']}, oidn_jax {versions['oidn-jax']}: {machine['cores']} cores of "
        f"{machine['cpu']}, {machine['memory_gib']:.0f} GiB, Python {versions['python']}, jax {versions['jax']}."
    )
    return tables, where


def cpu() -> str:
    """The name that the processor gives itself, and its widest vector instructions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name") or platform.processor() or platform.machine()
    vectors = next((each for each in ("avx512f", "avx2") if each in facts.get("flags", "").split()), None)
    return f"{name} ({vectors})" if vectors else name


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gib() -> float:
    """Of the machine."""
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
