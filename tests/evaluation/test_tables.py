"""Tables say the numbers of the summary, mark the best, and survive each form."""

import io

import pytest
from rich.console import Console

from oidn_jax.evaluation.html import Table
from oidn_jax.evaluation.statistics import paired_tests, summarise, worst_rows
from oidn_jax.evaluation.tables import paired_table, score_table, to_latex, to_markdown, to_terminal, worst_table
from tests.evaluation.test_statistics import SCORE, rows_of

NAN = float("nan")


@pytest.fixture
def rows():
    low = rows_of({"Wiener SIM": [30.0, 31.0], "my_net": [33.0, 34.0]}, specimen="ER")
    return [*low, *rows_of({"Wiener SIM": [36.0, 37.0], "my_net": [NAN, 31.0]}, level="high", specimen="ER")]


@pytest.fixture
def table(rows):
    targets = [{"specimen": "ER", "scene": 0, SCORE: 99.0}, {"specimen": "ER", "scene": 1, SCORE: 98.0}]
    return score_table(summarise(rows), [SCORE, "rsp"], caption="Likeness", targets=targets)


def test_means_with_spread_the_best_and_the_target(table):
    assert table.header == ("specimen", "fluorescence", "method", "PSNR (dB), affine")
    assert table.rows == [
        ("ER", "low", "Wiener SIM", "30.50 ± 0.71"),
        ("ER", "low", "my_net", "33.50 ± 0.71"),
        ("ER", "high", "Wiener SIM", "36.50 ± 0.71"),
        ("ER", "high", "my_net", "31.00 (n=1)"),
        ("ER", "–", "Ground truth", "98.50"),
    ]
    assert table.best == {(1, 3), (2, 3)}
    assert "over 2 scenes" in table.note


def test_what_is_not_of_the_ground_truth_has_no_best(rows):
    """A finer resolution may be noise, and the widefield image agrees best with itself."""
    for row in rows:
        row.update(da_a0=row[SCORE], da_resolution_nm=row[SCORE], rsp=row[SCORE])
    table = score_table(summarise(rows), ["da_a0", "da_resolution_nm", "rsp"], caption="A")
    assert table.best == frozenset()
    assert "marked" not in table.note


def test_paired_tests_and_worst_images(rows):
    table = paired_table(paired_tests(rows), [SCORE], level="low")
    ((specimen, method, score, difference, interval, p, scenes),) = table.rows
    assert (specimen, method, score, difference, scenes) == ("ER", "my_net", "PSNR (dB), affine", "3.00", "2")
    assert (interval, p) == ("3.00 to 3.00", "0.500")
    assert table.note.endswith("With 2 scenes the smallest p there can be is 0.5.")
    assert "Wiener SIM" in table.caption
    (worst, _) = worst_table(worst_rows(rows, [SCORE])).rows
    assert worst == ("ER", "Wiener SIM", "PSNR (dB), affine", "30.00", "low", "0")


def test_markdown_is_a_table_whose_cells_hold_no_bars(table):
    lines = to_markdown(table).splitlines()
    assert lines[0] == "**Likeness**"
    assert lines[2].startswith("| specimen | fluorescence | method | PSNR")
    assert lines[3] == "| --- | --- | --- | ---: |"
    assert "| ER | low | my_net | **33.50 ± 0.71** |" in lines
    odd = Table("A", ("x",), [("a|b",)], row_headers=1)
    assert r"| a\|b |" in to_markdown(odd)


def test_latex_escapes_what_is_special(table):
    text = to_latex(table)
    assert r"ER & low & my\_net & \textbf{33.50 $\pm$ 0.71} \\" in text
    assert r"\begin{longtable}{lllr}" in text
    assert text.count(r"\\") == 2 + len(table.rows)
    assert text.count(r"\midrule") == 1 + 2, "the head, and between the groups"
    odd = to_latex(Table("50 % & {more} <2", ("a#", "b"), [("x^2 ~", "\\"), ("-2.5", "half-bit")]))
    for part in (
        "$<$2",
        "$-$2.5 & half-bit",
        r"50 \% \& \{more\}",
        r"a\#",
        r"x\textasciicircum{}2 \textasciitilde{}",
        r"\textbackslash{}",
    ):
        assert part in odd


def test_the_terminal_shows_every_cell_within_120_columns(table):
    file = io.StringIO()
    Console(width=120, file=file).print(to_terminal(table))
    for row in table.rows:
        (line,) = [line for line in file.getvalue().splitlines() if all(f" {cell} " in line for cell in row)]
        assert len(line) <= 120
