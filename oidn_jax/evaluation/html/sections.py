"""The sections of a report as HTML; each function returns an empty text where there is nothing to show."""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from oidn_jax.evaluation.example import TARGET, Example
from oidn_jax.evaluation.html.content import Figure, Table
from oidn_jax.evaluation.html.images import grey_png_uri, png_file_uri

_NUMBER = re.compile(r"([<>≤≥≈~] ?)?[+−-]?\d")
_NO_NUMBER = ("", "-", "–", "—", "n/a", "nan")


def summary_html(paragraphs: Sequence[str]) -> str:
    """A paragraph each."""
    return "\n".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)


def tables_html(tables: Sequence[Table]) -> str:
    """The tables, numbered from 1, each in a box of its own that scrolls sideways.

    Raises:
        ValueError: a row has more or fewer cells than the header.
    """
    return "\n".join(_table(table, number) for number, table in enumerate(tables, start=1))


def _table(table: Table, number: int) -> str:
    for row in table.rows:
        if len(row) != len(table.header):
            raise ValueError(f"table {table.caption!r}: {len(row)} cells in a row, {len(table.header)} in the header")
    numeric = [_is_numeric([row[column] for row in table.rows]) for column in range(len(table.header))]
    heads = [
        f'<th scope="col"{_class(number=is_number)}>{escape(name)}</th>'
        for name, is_number in zip(table.header, numeric, strict=True)
    ]
    # With several row headers the first names a group: its first row gets a rule, and the repeated name steps back.
    groups = [False, *(table.row_headers > 1 and a[0] != b[0] for a, b in pairwise(table.rows))]
    repeats = [False, *(table.row_headers > 1 and a[0] == b[0] for a, b in pairwise(table.rows))]
    rows = []
    for index, cells in enumerate(table.rows):
        inner = "".join(
            _cell(table, index, column, numeric=numeric[column], repeated=repeats[index] and column == 0)
            for column in range(len(cells))
        )
        rows.append(f"<tr{_class(group=groups[index])}>{inner}</tr>")
    remarks = [escape(table.note)] if table.note else []
    if table.best:
        remarks.append("Best values are bold and underlined.")
    note = f'<p class="note" id="table-{number}-note">{" ".join(remarks)}</p>' if remarks else ""
    described = f' aria-describedby="table-{number}-note"' if remarks else ""
    body = "\n".join(rows)
    return f"""<div class="table">
<div class="scroll" role="region" aria-labelledby="table-{number}" tabindex="0">
<table{described}>
<caption id="table-{number}"><span><b>Table {number}.</b> {escape(table.caption)}</span></caption>
<thead><tr>{"".join(heads)}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
{note}
</div>"""


def _is_numeric(cells: Sequence[str]) -> bool:
    return any(map(_NUMBER.match, cells)) and all(_NUMBER.match(cell) or cell in _NO_NUMBER for cell in cells)


def _cell(table: Table, row: int, column: int, *, numeric: bool, repeated: bool) -> str:
    text = escape(table.rows[row][column])
    best = (row, column) in table.best
    if best:
        text = f'<strong>{text}</strong><span class="unseen"> (best)</span>'
    classes = _class(number=numeric, best=best, repeated=repeated)
    if column < table.row_headers:
        return f'<th scope="row"{classes}>{text}</th>'
    return f"<td{classes}>{text}</td>"


def _class(**wanted: bool) -> str:
    names = " ".join(name for name, is_wanted in wanted.items() if is_wanted)
    return f' class="{names}"' if names else ""


def figures_html(figures: Sequence[Figure]) -> str:
    """The figures, numbered from 1, with the description as legend and as alternative text.

    Raises:
        InputError: a file is not a PNG.
    """
    parts = []
    for number, figure in enumerate(figures, start=1):
        uri, width, height = png_file_uri(figure.path)
        description = escape(figure.description)
        # The legend hides its description from screen readers, which have just read it as alternative text.
        parts.append(f"""<figure>
<img loading="lazy" decoding="async" src="{uri}" width="{width}" height="{height}" alt="{description}">
<figcaption><b>Figure {number}.</b> {escape(figure.title)}. <span aria-hidden="true">{description}</span></figcaption>
</figure>""")
    return "\n".join(parts)


def viewer_data(examples: Sequence[Example]) -> str:
    """JSON for the viewer, safe inside a script element: it has no `<`.

    Of each example: what it is, its size in pixels, the pair of images to show first, and name and data URI of every
    image. The first image is shown before, the last one that is not the target after.
    """
    entries = []
    for example in examples:
        names = list(example.images)
        candidates = [name for name in names[1:] if name != TARGET] or names
        height, width = example.images[names[0]].shape
        entries.append(
            {
                "specimen": example.specimen,
                "level": example.level,
                "scene": example.scene,
                "signalLevel": example.signal_level,
                "pixelSizeNm": float(example.pixel_size_nm),
                "width": width,
                "height": height,
                "shown": [names[0], candidates[-1]],
                "images": [[name, grey_png_uri(image)] for name, image in example.images.items()],
            }
        )
    return json.dumps(entries, separators=(",", ":")).replace("<", "\\u003c")


def provenance_html(provenance: Mapping[str, Any]) -> str:
    """Nested definition lists, one to unfold for each nested value at the top, and the whole as JSON."""
    if not provenance:
        return ""
    plain = {key: value for key, value in provenance.items() if not isinstance(value, Mapping)}
    parts = [_definitions(plain)] if plain else []
    for key, value in provenance.items():
        if isinstance(value, Mapping):
            parts.append(f"<details><summary>{escape(str(key))}</summary>{_value(value)}</details>")
    text = escape(json.dumps(provenance, indent=2, ensure_ascii=False, default=_plain))
    parts.append(
        '<details class="json"><summary>Everything as JSON</summary>'
        f'<pre role="region" aria-label="Provenance as JSON" tabindex="0">{text}</pre></details>'
    )
    return "\n".join(parts)


def _definitions(values: Mapping[str, Any]) -> str:
    items = "".join(f"<div><dt>{escape(str(key))}</dt><dd>{_value(value)}</dd></div>" for key, value in values.items())
    return f"<dl>{items}</dl>"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _definitions(value) if value else "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if any(isinstance(item, Mapping | list | tuple) for item in value):
            return f"<ol>{''.join(f'<li>{_value(item)}</li>' for item in value)}</ol>"
        return ", ".join(map(_value, value)) or "none"
    return "none" if value is None or value == "" else escape(str(value))


def _plain(value: Any) -> Any:
    """What JSON has no word for: mappings of other kinds as objects, everything else as its text."""
    return dict(value) if isinstance(value, Mapping) else str(value)
