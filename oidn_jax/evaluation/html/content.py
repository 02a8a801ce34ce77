"""What a report says, before it is laid out: tables, figures, examples, provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oidn_jax.evaluation.example import Example


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        caption: what the numbers are, with their unit; the report numbers its tables itself.
        header: a name for each column.
        rows: the text of each cell, as many in each row as in the header.
        row_headers: how many cells at the start of each row name it.
        best: (row, column) of the cells to emphasise, from 0, row headers counted as columns.
        note: a remark to show below.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    row_headers: int = 1
    best: frozenset[tuple[int, int]] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture with its legend.

    Attributes:
        path: of the PNG, which the report embeds.
        title: of the figure; the report numbers its figures itself.
        description: what there is to see, for those who see it and for those who do not.
    """

    path: Path
    title: str
    description: str


@dataclass(frozen=True)
class Page:
    """A whole report; sections with nothing in them are left out.

    Attributes:
        title: its only heading of the first rank.
        summary: paragraphs of plain sentences.
        tables: in the order to show them.
        figures: in the order to show them.
        examples: acquisitions to choose from in the viewer, one for each specimen, level and scene.
        provenance: nested plain values: configuration, versions, seeds, hardware, command.
    """

    title: str
    summary: Sequence[str]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    examples: Sequence[Example]
    provenance: Mapping[str, Any]
