"""What a run leaves to read: `metrics.jsonl` and TensorBoard events."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.summary import scalar

from oidn_jax.data.atomic import explained, write_text
from oidn_jax.data.regular_file import refuse_pipe
from oidn_jax.errors import InputError, printable

# Called with a record of `metrics.jsonl`: `step`, `split` and the values.
OnMetrics = Callable[[dict[str, Any]], object]


class MetricLog:
    """Appends to `metrics.jsonl`, one JSON object a line, and to TensorBoard events. Use as a context manager."""

    def __init__(
        self,
        workdir: Path,
        *,
        first_step: int,
        writes: bool = True,
        say: Callable[[str], None] = print,
        on_metrics: OnMetrics | None = None,
    ) -> None:
        """Opens the files.

        Args:
            workdir: of the run.
            first_step: lines of later steps are of a run that was killed and are dropped.
            writes: False (not the main process) opens, writes and calls nothing.
            say: is told of damaged lines, and of a hook that fails.
            on_metrics: called with each record when it is written; one that raises is not called again.

        Raises:
            InputError: if the workdir cannot be written.
        """
        self._writes, self._path, self._say, self._on_metrics = writes, workdir / "metrics.jsonl", say, on_metrics
        if not writes:
            return
        try:
            refuse_pipe(self._path)
            if self._path.exists():
                _keep_lines_until(self._path, first_step, say)
            (workdir / "tensorboard").mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
            # Written here and not by a thread, whose errors nobody would hear of; two runs of a second have two names.
            self._events = EventsWriter(str(workdir / "tensorboard" / "events"), f".{os.getpid()}")
            self._events.write_event(Event(step=first_step + 1, file_version="brain.Event:2"))
            # What readers have of later steps is of a run that was killed.
            self._events.write_event(Event(step=first_step + 1, session_log=SessionLog(status=SessionLog.START)))
            self._events.flush()
        except OSError as error:
            raise InputError(f"cannot write to the workdir {workdir}: {error.strerror or error}") from error

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """One line, and one TensorBoard scalar `split/name` for each value; then the hook.

        Raises:
            WriteError: if the disk refuses; no part of the line stays.
        """
        if not self._writes:
            return
        content = {"step": step, "split": split, **{name: float(value) for name, value in values.items()}}
        line = (json.dumps(content) + "\n").encode()
        with explained(self._path, n_bytes=len(line)):
            self._append(line)
            for name, value in values.items():
                summary = scalar(f"{split}/{name}", float(value))
                self._events.write_event(Event(wall_time=time.time(), step=step, summary=summary))
            self._events.flush()
        self._hand_on(content)

    def _hand_on(self, record: dict[str, Any]) -> None:
        if self._on_metrics is None:
            return
        try:
            self._on_metrics(record)
        except (Exception, SystemExit) as error:  # a tracker that cannot be reached is no reason to end a training
            self._on_metrics = None
            reason = printable(f"{type(error).__name__}: {error}")
            self._say(f"warning: on_metrics failed at step {record['step']} and is not called again ({reason})")

    def _append(self, line: bytes) -> None:
        size = os.fstat(self._file.fileno()).st_size
        try:
            while line:  # a disk that is nearly full takes a part
                line = line[self._file.write(line) :]
        except OSError:
            self._file.truncate(size)
            raise

    def __enter__(self) -> "MetricLog":
        return self

    def __exit__(self, *_: Any) -> None:
        """Closes both; all that could be written has been."""
        if self._writes:
            self._file.close()
            with contextlib.suppress(OSError):
                self._events.close()


def _keep_lines_until(path: Path, step: int, say: Callable[[str], None]) -> None:
    """Drops what comes after the step, and what is damaged; a last line without an end is of a kill."""
    *lines, _ = path.read_bytes().split(b"\n")
    kept, n_damaged = [], 0
    for line in lines:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line.decode() + "\n")
        except (KeyError, RecursionError, TypeError, ValueError):
            n_damaged += 1
    if n_damaged:
        say(f"{n_damaged} damaged lines of {path} are dropped")
    write_text(path, "".join(kept))
