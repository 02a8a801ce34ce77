"""The folder of a comparison of methods over exposures: table, numbers, curves, pictures, the reference's stripes."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from oidn_jax.acquisition import Acquisition
from oidn_jax.data.atomic import check_target, partial_folder, write_json, write_text
from oidn_jax.evaluation.drawings import COLOURS
from oidn_jax.evaluation.exposures import BANDS, ExposureScore, compare_exposures
from oidn_jax.evaluation.files import finite_or_none
from oidn_jax.evaluation.html import Table
from oidn_jax.evaluation.tables import to_markdown
from oidn_jax.figures.exposures import ExposureCurve, save_exposure_curves
from oidn_jax.figures.images import ImageRow
from oidn_jax.figures.panels import save_panels
from oidn_jax.figures.style import palette
from oidn_jax.methods import ClassicalMethod, Method

REFERENCE = "Reference, Wiener SIM"
_MOST_ROWS = 4
_FILES = ("exposures.json", "exposures.csv", "exposures.md", "exposures_curves.png", "exposures_curves.pdf",
          "exposures_images.png", "exposures_images.pdf")  # fmt: skip


def check_exposure_files(out: Path, *, overwrite: bool) -> None:
    """Refuses a folder that cannot be written, or whose results may not be replaced, before anything is computed.

    Raises:
        InputError: naming the file.
    """
    for name in _FILES:
        check_target(out / name, overwrite=overwrite)


def evaluate_exposures(
    exposures: Mapping[str, Acquisition],
    reference: tuple[str, Acquisition],
    methods: Mapping[str, Method],
    labels: Mapping[str, str],
    out: Path,
    *,
    provenance: Mapping[str, Any],
    progress: Callable[[str, float], None] = lambda text, fraction: None,
) -> Table:
    """Compares the methods and writes the folder.

    Args:
        exposures: by name, weakest first.
        reference: the brightest exposure, with its name.
        methods: by name.
        labels: of the methods in print.
        out: the folder; `check_exposure_files` has looked at it.
        provenance: for the JSON.
        progress: called with what is at work and the fraction done.

    Returns:
        The table.
    """
    scores, images = compare_exposures(exposures, reference[1], methods, progress=progress)
    table = exposure_table(scores, labels)
    content = {
        **provenance,
        "reference": reference[0],
        "bands_of_the_cutoff": BANDS,
        "scores": [{**asdict(score), "mean_correlation": score.mean_correlation} for score in scores],
    }
    with partial_folder(out, last="exposures.json") as new:
        _draw_curves(new, scores, labels)
        _draw_images(new, exposures, reference, images, labels)
        write_text(new / "exposures.csv", _as_csv(scores))
        write_text(new / "exposures.md", to_markdown(table))
        write_json(new / "exposures.json", finite_or_none(content))
    return table


def exposure_table(scores: Sequence[ExposureScore], labels: Mapping[str, str]) -> Table:
    """A row for each exposure and method; the best of each exposure is marked."""
    header = (
        "exposure",
        "electrons",
        "method",
        *(f"{low:g}–{high:g}, k_c" for low, high in BANDS),
        "mean",
        "chi-square",
        "area, %",
    )
    rows, best = [], set()
    for number, score in enumerate(scores):
        numbers = (*score.correlation, score.mean_correlation)
        light = "–" if np.isnan(score.electrons) else f"{score.electrons:.1f}"
        cells = [f"{value:.3f}" for value in (*numbers, score.chi_square)]
        rows.append((score.exposure, light, labels[score.method], *cells, f"{100 * score.suspect_area:.1f}"))
        rivals = [other for other in scores if other.exposure == score.exposure]
        if score.mean_correlation == max(other.mean_correlation for other in rivals):
            best.add((number, 3 + len(BANDS)))
    note = (
        "Ring correlation with the Wiener image of the reference, mean over the rings of each band of the cutoff k_c; "
        "reduced chi-square of the reference's raw frames under the image, and the share of the field that they "
        "contradict."
    )
    return Table("Exposures of one field", header, rows, row_headers=3, best=frozenset(best), note=note)


def _as_csv(scores: Sequence[ExposureScore]) -> str:
    text = io.StringIO(newline="")
    bands = [f"correlation_{low:g}_{high:g}" for low, high in BANDS]
    writer = csv.writer(text)
    writer.writerow(["exposure", "electrons", "method", *bands, "mean_correlation", "chi_square", "suspect_area"])
    for score in scores:
        numbers = (score.mean_correlation, score.chi_square, score.suspect_area)
        writer.writerow([score.exposure, score.electrons, score.method, *score.correlation, *numbers])
    return text.getvalue()


def _draw_curves(out: Path, scores: Sequence[ExposureScore], labels: Mapping[str, str]) -> None:
    names = list(dict.fromkeys(score.exposure for score in scores))
    light = [next(score.electrons for score in scores if score.exposure == name) for name in names]
    known = bool(np.all(np.asarray(light) > 0))

    def by_method(value: Callable[[ExposureScore], float]) -> dict[str, list[float]]:
        return {label: [value(s) for s in scores if s.method == name] for name, label in labels.items()}

    at = light if known else [float(i + 1) for i in range(len(names))]
    plots = [
        ExposureCurve(f"Correlation, {low:g}–{high:g} k_c", by_method(lambda s, i=i: s.correlation[i]), at, lowest=0.0)
        for i, (low, high) in enumerate(BANDS)
    ]
    plots.append(ExposureCurve("Correlation, mean", by_method(lambda s: s.mean_correlation), at, lowest=0.0))
    plots.append(ExposureCurve("Reduced chi-square", by_method(lambda s: s.chi_square), at))
    save_exposure_curves(
        out / "exposures_curves",
        plots,
        unit="Photo-electrons per pixel" if known else "Exposure, weakest first",
        colours=palette(labels.values(), known=COLOURS),
    )


def _draw_images(
    out: Path,
    exposures: Mapping[str, Acquisition],
    reference: tuple[str, Acquisition],
    images: Mapping[tuple[str, str], np.ndarray],
    labels: Mapping[str, str],
) -> None:
    names, best = list(exposures), ClassicalMethod("wiener")(reference[1], 0).pixels
    chosen = dict.fromkeys(names[round(i)] for i in np.linspace(0, len(names) - 1, min(_MOST_ROWS, len(names))))
    fine_nm = reference[1].microscope.fine_pixel_size_nm
    rows = [
        ImageRow(
            heading=name,
            images={**{label: images[name, method] for method, label in labels.items()}, REFERENCE: best},
            reference=REFERENCE,
            pixel_size_nm=fine_nm,
        )
        for name in chosen
    ]
    save_panels(out / "exposures_images", rows)
