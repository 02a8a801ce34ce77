"""What people see of a training that goes on: a bar on a terminal, and a line now and then in a file."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from oidn_jax.training.pace import Pace, in_words

LINE_EVERY_S = 60.0


class ProgressDisplay:
    """Steps done, loss, seconds per step and time left. Use as a context manager.

    On a terminal they are a bar, on stderr. Where stdout or stderr is a pipe or a file, as on a cluster, they are a
    line at the first step, one at most every 60 seconds, and a part of the line of each evaluation.
    """

    def __init__(
        self,
        total: int,
        *,
        start: int,
        visible: bool,
        pace: Pace,
        say: Callable[[str], None],
        instead: Callable[[int, int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of the steps from `start` to `total`.

        Args:
            total: steps of the run.
            start: steps that are done.
            visible: False shows nothing (not the main process).
            pace: is asked for the time.
            say: called with each line.
            instead: called with the steps done and of all, in the place of the bar.
            clock: in seconds.
        """
        self._total, self._pace, self._say, self._instead, self._clock = total, pace, say, instead, clock
        console = Console(stderr=True)
        self._has_bar = visible and instead is None and console.is_terminal
        self._has_lines = visible and not (console.is_terminal and sys.stdout.isatty())
        self._line_at_s, self._line_of_step = -float("inf"), -1
        columns = (
            TextColumn("training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[pace]}"),
        )
        # What is printed meanwhile appears above the bar; a stdout that is a pipe or a file must get its lines itself.
        self._bar = Progress(
            *columns,
            console=console,
            disable=not self._has_bar,
            expand=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._bar.add_task("training", total=total, completed=start, loss="", pace="")

    def __enter__(self) -> "ProgressDisplay":
        """Starts drawing."""
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Stops drawing and leaves the terminal clean."""
        self._bar.stop()

    def update(self, step: int, metrics: Mapping[str, Any]) -> None:
        """After each step; its `loss` is waited for only where a line is due."""
        if self._has_bar:
            self._bar.update(self._task, completed=step, pace=", ".join(self._time(step)))
        if self._instead is not None:
            self._instead(step, self._total)
        if self._has_lines and self._clock() >= self._line_at_s + LINE_EVERY_S:
            self._say(f"step {step} of {self._total}: {', '.join(self.told(step, metrics))}")

    def show_loss(self, loss: float) -> None:
        """On the bar."""
        self._bar.update(self._task, loss=f"loss {loss:.4g}")

    def told(self, step: int, metrics: Mapping[str, Any]) -> list[str]:
        """What a line about this step says first, the next then being due in a minute; nothing where a bar says it."""
        if not self._has_lines or self._line_of_step == step:
            return []
        self._line_at_s, self._line_of_step = self._clock(), step
        return [f"loss {float(metrics['loss']):.4g}", *self._time(step)]

    def _time(self, step: int) -> list[str]:
        recent, left_s = self._pace.recent, self._pace.left_s(step)
        if recent is None or left_s is None:
            return [f"{in_words(self._pace.last_s)} with compiling"]
        left = [f"{in_words(left_s)} left"] if step < self._total else []
        return [f"{in_words(recent)} per step", *left]
