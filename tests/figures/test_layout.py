"""The printed page, with both kinds of fonts: its size, nothing beyond it, no text on another."""

import numpy as np
import pytest

from oidn_jax.figures import layout
from oidn_jax.figures.distributions import save_box_plots, save_radar
from oidn_jax.figures.measurement import save_measurement
from oidn_jax.figures.panels import save_panels
from oidn_jax.figures.profiles import save_line_profiles
from oidn_jax.figures.psf import save_psf_comparison
from oidn_jax.figures.reliability import ReliabilityPanel, save_reliability
from oidn_jax.figures.resolution import save_decorrelation, save_rolling_frc
from oidn_jax.figures.worst_cases import save_worst_cases
from oidn_jax.metrics.calibration import Reliability
from tests.figures.examples import (
    COLOURS,
    RADAR,
    decorrelation_panel,
    distributions,
    image_row,
    measurement_page,
    psf_panel,
    rolling_panel,
    worst_case,
)

RELIABILITY = Reliability(np.array([0.001, 0.01, 0.1]), np.array([0.0005, 0.02, 0.05]))
MAPS = [rolling_panel(label) for label in ("Wiener SIM", "HiFi-SIM", "OIDN", "a", "b", "c")]
FIGURES = {
    "panels": (lambda path: save_panels(path, [image_row("Microtubules"), image_row("CCPs")], title="low"), 88),
    "many panels": (lambda path: save_panels(path, [image_row(labels="abcde")] * 3), 180),
    "long names": (lambda path: save_panels(path, [image_row(labels=["OIDN, trained on F-actin", *"abcde"])]), 180),
    "profiles": (lambda path: save_line_profiles(path, [image_row(side=200)], colours=COLOURS), 180),
    "two profiles": (
        lambda path: save_line_profiles(path, [image_row("Microtubules", labels="abcdefg")] * 2, colours=COLOURS),
        180,
    ),
    "decorrelation": (lambda path: save_decorrelation(path, [decorrelation_panel()], title="ER"), 88),
    "curves": (lambda path: save_decorrelation(path, [decorrelation_panel()] * 3), 180),
    "rolling FRC": (lambda path: save_rolling_frc(path, MAPS[:5], title="ER"), 180),
    "six maps": (lambda path: save_rolling_frc(path, MAPS, title="ER"), None),
    "two maps": (lambda path: save_rolling_frc(path, MAPS[:2]), 88),
    "box plot": (
        lambda path: save_box_plots(path, distributions(scores=["PSNR (dB), affine"]), colours=COLOURS),
        88,
    ),
    "box plots": (lambda path: save_box_plots(path, distributions(), colours=COLOURS), 180),
    "radar": (
        lambda path: save_radar(path, RADAR, score="SSIM, affine", trained_on={"OIDN, CCPs": "CCPs"}, colours=COLOURS),
        88,
    ),
    "psf": (lambda path: save_psf_comparison(path, [psf_panel(learned=6.0)] * 2), 180),
    "worst cases": (lambda path: save_worst_cases(path, [worst_case()] * 3), 180),
    "reliability": (
        lambda path: save_reliability(path, [ReliabilityPanel("ER, low", {"OIDN": RELIABILITY})] * 12, colours=COLOURS),
        180,
    ),
    "many worst cases": (lambda path: save_worst_cases(path, [worst_case()] * 8), None),
    "measurement": (lambda path: save_measurement(path.with_suffix(".pdf"), measurement_page()), 180),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_fits_on_a_page_and_no_text_lies_on_another_or_beyond_it(drawn, tmp_path, fonts, name):
    save, width_mm = FIGURES[name]
    save(tmp_path / "figure")
    ((figure, texts),) = [(page.figure, page.texts) for page in drawn]
    width, height = layout.size_mm(figure)
    assert width == pytest.approx(width_mm, abs=1.5) if width_mm else width < 180
    assert height <= layout.PAGE_HEIGHT_MM + 0.1
    assert drawn[0].dpi == 300
    assert len(texts) > 4
    boxes = np.array([box.extents for _, box in texts])
    (left, bottom, right, top) = boxes.T
    beyond = (left < 0) | (bottom < 0) | (right > figure.bbox.width) | (top > figure.bbox.height)
    assert not beyond.any(), [text for (text, _), outside in zip(texts, beyond, strict=True) if outside]
    # Boxes have room for the descenders that numbers at the corner of a plot do not have.
    (left, bottom), (right, top) = (left + 2, bottom + 2), (right - 2, top - 2)
    apart = (right[:, None] < left) | (right < left[:, None]) | (top[:, None] < bottom) | (top < bottom[:, None])
    overlapping = np.argwhere(~apart & ~np.eye(len(texts), dtype=bool))
    assert not overlapping.size, [(texts[i][0], texts[j][0]) for i, j in overlapping if i < j]
