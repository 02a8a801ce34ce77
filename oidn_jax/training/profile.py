"""A trace of some steps by the profiler of jax: what each device and each thread did, and for how long."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from oidn_jax.errors import printable

FOLDER = "profile"


class ProfileWindow:
    """Traces the steps from `first` to `last`, those of them that this run takes. Use as a context manager.

    A trace that cannot be made or written is no reason to end a training, and is said in one line.
    """

    def __init__(
        self, workdir: Path, window: Sequence[int], *, start: int, visible: bool, say: Callable[[str], None]
    ) -> None:
        """Nothing is traced yet.

        Args:
            workdir: of the run; traces are written to its folder `profile`.
            window: first and last step; empty for none.
            start: steps that are done.
            visible: False traces nothing (not the main process).
            say: is told where the trace is.
        """
        self._folder, self._say = workdir / FOLDER, say
        first, last = window if window and visible else (0, 0)
        self._first, self._last = max(first, start + 1), last
        self._running, self._done = False, 0

    @contextmanager
    def step(self, step: int) -> Iterator[None]:
        """To be entered around each step, which is over where the block ends."""
        if not self._first <= step <= self._last:
            yield
            return
        if step == self._first:
            self._begin()
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            yield
        self._done = step
        if step == self._last:
            self._end()

    def __enter__(self) -> "ProfileWindow":
        return self

    def __exit__(self, *_: Any) -> None:
        """Writes the trace of a run that ends within it."""
        self._end()

    def _begin(self) -> None:
        try:
            # Here, for jax never gets rid of a trace that it cannot write in the end.
            self._folder.mkdir(exist_ok=True)
            jax.profiler.start_trace(self._folder)
            self._running = True
        except Exception as error:  # as of a trace that is going on already, and whatever a platform has
            self._fail(error)

    def _end(self) -> None:
        if not self._running:
            return
        self._running = False
        try:
            jax.profiler.stop_trace()
        except Exception as error:  # as of a full disk
            self._fail(error)
            return
        done = f"step {self._done}" if self._done == self._first else f"steps {self._first} to {self._done}"
        self._say(f"profile of {done} in {self._folder}: for TensorBoard, its trace.json.gz for ui.perfetto.dev too")

    def _fail(self, error: Exception) -> None:
        self._say(f"warning: no profile in {self._folder} ({printable(str(error))})")
