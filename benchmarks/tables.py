"""Writes the tables of docs/*.md from the records of the benchmarks: python -m benchmarks.tables.

A table stands between `<!-- table BENCHMARK/NAME -->` and `<!-- end -->`; everything between them is replaced.
`BENCHMARK/machine` is no table but the line that says with what command and where all of a benchmark were measured.
"""

import re
import sys
from pathlib import Path

from benchmarks.record import FOLDER, ROOT, load
from oidn_jax.data.atomic import write_text

MARKED = re.compile(r"(<!-- table (\w+)/([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """Those that have tables of a benchmark."""
    return [page for page in sorted((ROOT / "docs").glob("*.md")) if MARKED.search(page.read_text(encoding="utf-8"))]


def with_tables(text: str) -> str:
    """The page with what the records say between its markers.

    Raises:
        ValueError: a table that no record has.
    """
    return MARKED.sub(lambda match: match[1] + _body(match[2], match[3]) + match[5], text)


def _body(benchmark: str, name: str) -> str:
    path = FOLDER / f"{benchmark}.json"
    tables, where = load(benchmark) if path.is_file() else ({}, "")
    if where and name == "machine":
        return f"{where}\n"
    if name not in tables:
        raise ValueError(f"{path} has no table {name!r}; run python -m benchmarks.{benchmark} --record")
    return f"{tables[name].markdown()}\n"


def main() -> None:
    """Writes every page that has markers."""
    for page in pages():
        try:
            text = with_tables(page.read_text(encoding="utf-8"))
        except ValueError as error:
            sys.exit(f"error: {page}: {error}")
        write_text(page, text)
        print(f"wrote {page}")


if __name__ == "__main__":
    main()
