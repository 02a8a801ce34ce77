"""What a run leaves to read: `metrics.jsonl`, TensorBoard events, and a progress bar on a terminal."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tensorboardX import SummaryWriter

from oidn_jax.data.atomic import write_text
from oidn_jax.errors import InputError


class MetricLog:
    """Appends to `metrics.jsonl`, one JSON object a line, and to TensorBoard events. Use as a context manager."""

    def __init__(self, workdir: Path, *, first_step: int, writes: bool = True) -> None:
        """Opens the files; lines of steps after `first_step` are of a run that was killed and are dropped.

        With `writes` false (not the main process) it opens and writes nothing.

        Raises:
            InputError: if the workdir cannot be written.
        """
        self._writes = writes
        if not writes:
            return
        path = workdir / "metrics.jsonl"
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            if path.exists():
                _keep_lines_until(path, first_step)
            self._file = path.open("a", encoding="utf-8")
            self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=first_step + 1)
        except OSError as error:
            raise InputError(f"cannot write to the workdir {workdir}: {error.strerror or error}") from error

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """One line, and one TensorBoard scalar `split/name` for each value."""
        if not self._writes:
            return
        line = {"step": step, "split": split, **{name: float(value) for name, value in values.items()}}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(f"{split}/{name}", float(value), step)

    def __enter__(self) -> "MetricLog":
        return self

    def __exit__(self, *_: Any) -> None:
        """Flushes and closes both."""
        if self._writes:
            self._file.close()
            self._events.close()


def _keep_lines_until(path: Path, step: int) -> None:
    """A line cut short by a kill is dropped as well."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    write_text(path, "".join(line + "\n" for line in kept))


class ProgressBar:
    """Steps done, loss and time left: a bar on a terminal, nothing on a pipe. Use as a context manager."""

    def __init__(
        self, total: int, *, start: int, visible: bool, instead: Callable[[int, int], None] | None = None
    ) -> None:
        """A bar from `start` to `total` steps, or a function that is called with the steps done and of all."""
        self._total, self._instead = total, instead
        visible = visible and instead is None
        self.console = Console(stderr=True)
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self.console, disable=not (visible and self.console.is_terminal))
        self._task = self._progress.add_task("training", total=total, completed=start, loss="-")

    def __enter__(self) -> "ProgressBar":
        """Starts drawing."""
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Stops drawing and leaves the terminal clean."""
        self._progress.stop()

    def update(self, step: int, *, loss: float | None = None) -> None:
        """Show the steps done, and the loss where a new one is known."""
        self._progress.update(self._task, completed=step)
        if self._instead is not None:
            self._instead(step, self._total)
        if loss is not None:
            self._progress.update(self._task, loss=f"{loss:.4f}")
