"""The tables of docs/benchmarks.md are what the benchmarks measured."""

import json

from benchmarks import tables
from benchmarks.record import FOLDER


def test_the_page_holds_what_was_measured():
    page = tables.PAGE.read_text(encoding="utf-8")
    assert tables.names(page)
    assert tables.fill(page) == page, "run python -m benchmarks.tables"


def test_each_table_says_where_it_was_measured():
    for file in FOLDER.glob("*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        assert content["command"].startswith("python -m benchmarks.")
        assert {"processor", "cores", "memory_gib", "jax"} <= set(content["machine"])
        for table in content["tables"]:
            assert all(len(row) == len(table["columns"]) for row in table["rows"])


def test_a_changed_number_is_noticed(tmp_path):
    content = {
        "command": "python -m benchmarks.network",
        "date": "2026-01-01",
        "machine": {"processor": "p", "instructions": "", "cores": 1, "memory_gib": 1, "python": "3", "jax": "0"},
        "tables": [{"title": "t", "columns": ["", "seconds"], "rows": [["forward", "1.00"]]}],
    }
    (tmp_path / "network.json").write_text(json.dumps(content))
    page = tables.fill("<!-- table network -->\nold\n<!-- end -->\n", folder=tmp_path)
    assert "| forward | 1.00 |" in page
    assert tables.fill(page, folder=tmp_path) == page
    assert tables.fill(page.replace("1.00", "2.00"), folder=tmp_path) == page
