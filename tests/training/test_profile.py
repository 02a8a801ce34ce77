"""The window of a run that the profiler traces."""

import gzip
import json

import jax
import numpy as np
import pytest

from oidn_jax.errors import IllegalValue
from oidn_jax.training.profile import ProfileWindow
from oidn_jax.training.settings import TrainSettings


def trace(workdir, window, *, start=0, steps=5, visible=True):
    """Lines of a run."""
    lines = []
    with ProfileWindow(workdir, window, start=start, visible=visible, say=lines.append) as profile:
        for step in range(start + 1, steps + 1):
            with profile.step(step):
                np.asarray(np.arange(step))
    return lines


def steps_in(workdir):
    """The numbers of the steps in the only trace of a run."""
    (file,) = workdir.glob("profile/plugins/profile/*/*.trace.json.gz")
    assert list(file.parent.glob("*.xplane.pb"))
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    return sorted(int(event["args"]["step_num"]) for event in events if event.get("name") == "train")


@pytest.mark.parametrize(
    ("window", "start", "steps", "traced"),
    [
        ((2, 3), 0, 5, "steps 2 to 3"),
        ((4, 4), 0, 5, "step 4"),
        ((2, 5), 3, 5, "steps 4 to 5"),  # resumed within it
        ((2, 9), 0, 3, "steps 2 to 3"),  # stopped within it
    ],
)
def test_the_steps_of_the_window_are_traced(tmp_path, window, start, steps, traced):
    (line,) = trace(tmp_path, window, start=start, steps=steps)
    assert line.startswith(f"profile of {traced} in {tmp_path / 'profile'}: ")
    first, last = (int(word) for word in (traced.split()[1], traced.split()[-1]))
    assert steps_in(tmp_path) == list(range(first, last + 1))


@pytest.mark.parametrize(
    "options", [{"window": ()}, {"window": (2, 3), "start": 3}, {"window": (2, 3), "visible": False}]
)
def test_nothing_is_traced_without_a_window_past_it_and_on_other_hosts(tmp_path, options):
    assert trace(tmp_path, **options) == []
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_cannot_be_made_does_not_end_a_run(tmp_path):
    with jax.profiler.trace(str(tmp_path / "other")):
        (line,) = trace(tmp_path, (2, 3))
    assert line.startswith(f"warning: no profile in {tmp_path / 'profile'} (Profile has already been started")
    assert trace(tmp_path, (2, 3))[0].startswith("profile of steps 2 to 3")
    workdir = tmp_path / "another"
    workdir.mkdir()
    (workdir / "profile").write_text("in the way")
    (line,) = trace(workdir, (2, 3))
    assert line.startswith(f"warning: no profile in {workdir / 'profile'} ([Errno 17] File exists")


@pytest.mark.parametrize("window", [(1,), (1, 2, 3), (0, 2), (3, 2), (1, 11), (True, 2)])
def test_illegal_windows_are_told(window):
    with pytest.raises(IllegalValue, match=r"first and the last step of a trace, 1 to `train.steps` \(10\), or \(\)"):
        TrainSettings(steps=10, profile_steps=window)


def test_legal_windows():
    for window in ((), (1, 10), (10, 10)):
        assert TrainSettings(steps=10, profile_steps=window).profile_steps == window
