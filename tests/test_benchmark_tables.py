"""The tables of the pages are what the records of the benchmarks say."""

import re

import pytest

from benchmarks import record
from benchmarks.tables import MARKED, pages, with_tables

TABLE = record.RecordedTable(
    "speed",
    "title",
    [record.Column("name"), record.Column("ms", "{:.1f}"), record.Column("range", "{:.0f} to {:.0%}")],
    [["a", 1.26, [2, 0.5]], ["b", None, None]],
)


def test_the_pages_show_the_records():
    assert pages(), "no page has a table of a benchmark"
    for page in pages():
        text = page.read_text(encoding="utf-8")
        assert text == with_tables(text), f"{page.name} is stale: python -m benchmarks.tables"
        assert (
            len(MARKED.findall(text)) == len(re.findall("<!-- table ", text)) == len(re.findall("<!-- end -->", text))
        )


def test_a_record_gives_back_its_tables_in_print(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    record.record("metrics", [TABLE])
    tables, where = record.load("metrics")
    assert tables["speed"].markdown() == (
        "| name | ms | range |\n| --- | --- | --- |\n| a | 1.3 | 2 to 50% |\n| b |  |  |"
    )
    assert "jax" in where
    assert "python -m benchmarks.metrics" in where


def test_a_table_that_no_record_has_is_an_error():
    with pytest.raises(ValueError, match="run python -m benchmarks"):
        with_tables("<!-- table nothing/at-all -->\n<!-- end -->")
