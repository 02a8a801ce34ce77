"""What a training has come to, in a few lines at its end."""

from pathlib import Path

from oidn_jax.models.weights import newest_step
from oidn_jax.training.checkpoint import best_score
from oidn_jax.training.pace import Pace, in_words


def summary(workdir: Path, *, start: int, done: int, total: int, pace: Pace) -> list[str]:
    """Steps and time; the best validation and the last state, each with where its weights are.

    Args:
        workdir: of the run.
        start: steps that were done before.
        done: steps that are done.
        total: steps of the run.
        pace: of this part of the run.
    """
    median = "" if pace.median is None else f", median {in_words(pace.median)} per step"
    lines = [f"{done} of {total} steps done, {done - start} of them now in {in_words(pace.elapsed_s)}{median}"]
    best = best_score(workdir, lambda line: None)  # what is damaged has been told at the beginning
    if best is not None:
        ssim, folder = best
        lines.append(f"best validation: ssim {ssim:.4g} at step {folder.name}, weights in {folder / 'model'}")
    last = newest_step(workdir, "last")
    if last is not None:
        lines.append(f"last checkpoint: step {last.name}, weights in {last / 'model'}")
    return lines
