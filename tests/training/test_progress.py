"""What a terminal shows, and what a file gets."""

import io
import re
import sys

import pytest

from oidn_jax.training.pace import Pace
from oidn_jax.training.progress import ProgressDisplay
from tests.training.test_pace import Clock, take


class Terminal(io.StringIO):
    """A text that people look at."""

    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


def show(clock, *, steps=600, seconds=0.5, total=1000, evaluated=(), **options):
    """Lines of a run, of which the first step compiles for 85 seconds."""
    lines, pace = [], Pace(total, every={}, clock=clock)
    given = {"start": 0, "visible": True, "pace": pace, "say": lines.append, "clock": clock}
    with ProgressDisplay(total, **given | options) as display:
        for step in range(1, steps + 1):
            take(pace, clock, 85.0 if step == 1 else seconds, compiles=step == 1)
            display.update(step, {"loss": 1.0 / step})
            display.show_loss(1.0 / step)
            if step in evaluated:
                lines.append(display.told(step, {"loss": 1.0 / step}))
    return lines


def test_a_file_gets_the_first_step_and_a_line_a_minute(clock):
    lines = show(clock)
    assert lines[0] == "step 1 of 1000: loss 1, 85 s with compiling"
    assert lines[1] == "step 121 of 1000: loss 0.008264, 0.5 s per step, 7 min left"
    assert [int(line.split()[1]) for line in lines] == [1, 121, 241, 361, 481]


def test_slow_steps_get_a_line_each(clock):
    assert len(show(clock, steps=4, seconds=100.0)) == 4


def test_an_evaluation_tells_the_same_and_the_next_line_is_due_a_minute_later(clock):
    lines = show(clock, evaluated=(100,), steps=230)
    assert lines[1] == ["loss 0.01", "0.5 s per step", "8 min left"]
    assert [line.split()[1] for line in (lines[0], *lines[2:])] == ["1", "220"]


def test_a_step_is_told_once(clock):
    lines = show(clock, evaluated=(1, 2), steps=2, total=2)
    assert lines[1:] == [[], ["loss 0.5", "0.5 s per step"]]


def test_what_is_not_visible_says_nothing(clock):
    assert show(clock, visible=False, evaluated=(3,)) == [[]]


def test_a_terminal_has_a_bar_and_no_lines(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert show(clock, evaluated=(600,)) == [[]]
    last = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue()).replace("\r", "\n").split("\n")
    bar = [line for line in last if "600/1000" in line][-1]
    assert re.fullmatch(r"training [━╺╸]+ +600/1000 loss 0\.001667 0\.5 s per step, 3 min left", bar), bar
    assert len(bar) == 80


def test_a_file_gets_its_lines_beside_the_bar_of_a_terminal(clock, monkeypatch):
    """As in `train > log.txt`: what is printed must not be drawn on the terminal in the place of the file."""
    terminal, file = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", file)
    show(clock, steps=1, say=print)
    assert file.getvalue() == "step 1 of 1000: loss 1, 85 s with compiling\n"
    assert "1/1000" in terminal.getvalue()


def test_a_caller_s_own_progress_takes_the_place_of_the_bar(clock, monkeypatch):
    terminal, heard = Terminal(), []
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert show(clock, steps=3, instead=lambda *now: heard.append(now)) == []
    assert heard == [(1, 1000), (2, 1000), (3, 1000)]
    assert terminal.getvalue() == ""
