"""How fast a training goes, and when it will be done."""

import statistics
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax

# What jax tells its listeners of each program, one that it takes from its cache on disk too.
_COMPILED = "/jax/core/compile/backend_compile_duration"
_RECENT = 101  # steps that the time left is told from
_n_compiled = 0


def _count(event: str, duration_secs: float, **_: Any) -> None:
    global _n_compiled
    _n_compiled += event == _COMPILED


jax.monitoring.register_event_duration_secs_listener(_count)


def in_words(seconds: float) -> str:
    """For example `0.52 s`, `45 s`, `12 min`, `3 h 20 min`, `2 d 5 h`."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


class Pace:
    """Seconds per step, and the time left.

    Steps in which something was compiled do not count: the first, and each in which one of many programs has its first
    turn. What is not a step (evaluation, saving) is timed by itself.

    Attributes:
        last_s: seconds of the step before, whether it counts or not.
    """

    def __init__(self, total: int, *, every: Mapping[str, int], clock: Callable[[], float] = time.perf_counter) -> None:
        """Nothing is timed yet.

        Args:
            total: steps of the run.
            every: after how many steps each kind of pause comes; all of them come after the last.
            clock: in seconds.
        """
        self.last_s = 0.0
        self._total, self._every, self._clock, self._begins = total, every, clock, clock()
        self._seconds, self._n_told = array("d"), 0
        self._pauses: dict[str, float] = {}

    @contextmanager
    def step(self) -> Iterator[None]:
        """Times a step."""
        begins, n_compiled = self._clock(), _n_compiled
        yield
        self.last_s = self._clock() - begins
        if n_compiled == _n_compiled:
            self._seconds.append(self.last_s)

    @contextmanager
    def pause(self, kind: str) -> Iterator[None]:
        """Times what is not a step; the last of a kind says how long the next ones take."""
        begins = self._clock()
        yield
        self._pauses[kind] = self._clock() - begins

    @property
    def elapsed_s(self) -> float:
        """Seconds since this was made, with all that is not a step."""
        return self._clock() - self._begins

    def mean_since_told(self) -> float | None:
        """Mean seconds of the steps since this was asked for the last time; None where none of them counts."""
        new, self._n_told = self._seconds[self._n_told :], len(self._seconds)
        return statistics.fmean(new) if new else None

    @property
    def median(self) -> float | None:
        """Seconds per step, of all; None without any that counts."""
        return statistics.median(self._seconds) if self._seconds else None

    @property
    def recent(self) -> float | None:
        """Median seconds of the last 101 steps; None without any that counts."""
        return statistics.median(self._seconds[-_RECENT:]) if self._seconds else None

    def left_s(self, step: int) -> float | None:
        """Seconds from after this step to the end, with the pauses of the kinds that there were; None where unknown."""
        recent = self.recent
        if recent is None or step >= self._total:
            return None if recent is None else 0.0
        pauses = (seconds * self._n_left(self._every[kind], step) for kind, seconds in self._pauses.items())
        return recent * (self._total - step) + sum(pauses)

    def _n_left(self, every: int, step: int) -> int:
        """Multiples of `every` after this step, and the last step."""
        return self._total // every - step // every + (self._total % every > 0)
