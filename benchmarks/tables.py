"""The tables of docs/benchmarks.md, from what the benchmarks wrote: python -m benchmarks.tables.

Between `<!-- table NAME -->` and `<!-- end -->` stands what `docs/benchmarks/NAME.json` says, and nothing else.
"""

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.record import FOLDER

PAGE = FOLDER.with_suffix(".md")
_MARKED = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(page: str, *, folder: Path = FOLDER) -> str:
    """The page with the tables of the JSON files between its markers."""

    def filled(match: re.Match) -> str:
        content = json.loads((folder / f"{match[2]}.json").read_text(encoding="utf-8"))
        return f"{match[1]}{_markdown(content)}\n{match[3]}"

    return _MARKED.sub(filled, page)


def names(page: str) -> list[str]:
    """The tables that a page asks for."""
    return [match[2] for match in _MARKED.finditer(page)]


def _markdown(content: Any) -> str:
    machine = content["machine"]
    where = (
        f"`{content['command']}`, {content['date']}: {machine['processor']} ({machine['instructions']}), "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, Python {machine['python']}, jax {machine['jax']}."
    )
    parts = [where]
    for table in content["tables"]:
        lines = [f"**{table['title']}**", "", _row(table["columns"]), _row(["---"] * len(table["columns"]))]
        parts.append("\n".join(lines + [_row(row) for row in table["rows"]]))
    return "\n\n".join(parts)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
