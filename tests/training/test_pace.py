"""Seconds per step and the time left, on a clock of the test's."""

import jax
import numpy as np
import pytest

from oidn_jax.training import pace
from oidn_jax.training.pace import Pace, in_words


class Clock:
    """Seconds that only pass when they are told to."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def compile_a_program():
    pace._count(pace._COMPILED, 1.0)


@pytest.fixture
def clock():
    return Clock()


def take(timed, clock, seconds, *, compiles=False):
    with timed.step():
        clock.now_s += seconds
        if compiles:
            compile_a_program()


def test_steps_that_compile_do_not_count(clock):
    timed = Pace(1000, every={}, clock=clock)
    take(timed, clock, 85.0, compiles=True)
    assert (timed.last_s, timed.recent, timed.median, timed.mean_since_told(), timed.left_s(1)) == (85, *[None] * 4)
    # Each of 20 programs is compiled when its turn first comes; between them steps of half a second.
    for _ in range(20):
        take(timed, clock, 60.0, compiles=True)
        take(timed, clock, 0.5)
    assert timed.left_s(41) == pytest.approx(0.5 * 959)
    assert timed.median == 0.5


def test_a_step_that_hangs_does_not_move_the_time_left_but_the_mean_of_its_line(clock):
    timed = Pace(100, every={}, clock=clock)
    for seconds in (1.0, 1.0, 100.0, 1.0, 1.0):
        take(timed, clock, seconds)
    assert timed.left_s(5) == 95.0
    assert timed.mean_since_told() == pytest.approx(104 / 5)
    take(timed, clock, 3.0)
    assert timed.mean_since_told() == 3.0
    assert timed.mean_since_told() is None


def test_the_time_left_forgets_what_was_long_ago(clock):
    timed = Pace(1000, every={}, clock=clock)
    for seconds in [9.0] * 200 + [1.0] * 51:
        take(timed, clock, seconds)
    assert timed.left_s(251) == 749.0
    assert timed.median == 9.0


def test_evaluations_and_checkpoints_to_come_count(clock):
    timed = Pace(25, every={"evaluation": 10, "last": 5}, clock=clock)
    take(timed, clock, 2.0)
    assert timed.left_s(1) == 48.0
    for kind, seconds in (("evaluation", 99.0), ("evaluation", 7.0), ("last", 0.5)):
        with timed.pause(kind):
            clock.now_s += seconds
    # Evaluations after 20 and 25, checkpoints after 15, 20 and 25.
    assert timed.left_s(10) == 15 * 2.0 + 2 * 7.0 + 3 * 0.5
    assert timed.left_s(25) == 0.0
    assert timed.elapsed_s == 2.0 + 99.0 + 7.0 + 0.5


def test_jax_says_when_it_compiles():
    program, timed = jax.jit(lambda x: x + 3), Pace(9, every={})
    for _ in range(2):
        with timed.step():
            program(np.ones(3))
        assert (timed.recent is None) == (timed.last_s > 0 and len(timed._seconds) == 0)
    assert len(timed._seconds) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0163, "0.016 s"),
        (9.9, "9.9 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (100.0, "2 min"),
        (3569.0, "59 min"),
        (3571.0, "1 h 0 min"),
        (12_000.0, "3 h 20 min"),
        (86_399.0, "1 d 0 h"),
        (190_000.0, "2 d 5 h"),
    ],
)
def test_words(seconds, words):
    assert in_words(seconds) == words
