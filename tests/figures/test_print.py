"""Figures for print: what they show is what was given, numbers and places are true, and what is not finite."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from oidn_jax.figures.bars import BarPanel, save_bars
from oidn_jax.figures.contact_sheet import ContactRow, save_contact_sheet
from oidn_jax.figures.distributions import Distribution, save_box_plots, save_radar
from oidn_jax.figures.measurement import save_measurement
from oidn_jax.figures.panels import save_panels, zoom_regions
from oidn_jax.figures.profiles import profile_line, sample_profile, save_line_profiles
from oidn_jax.figures.psf import full_width_at_half_maximum, radial_profile, save_psf_comparison
from oidn_jax.figures.reliability import ReliabilityPanel, save_reliability
from oidn_jax.figures.resolution import save_decorrelation, save_rolling_frc
from oidn_jax.figures.worst_cases import save_worst_cases
from oidn_jax.metrics.calibration import Reliability
from tests.figures.examples import (
    COLOURS,
    PIXEL_NM,
    decorrelation_panel,
    gaussian_psf,
    image_row,
    measurement_page,
    picture,
    psf_panel,
    rolling_panel,
    worst_case,
)


def images(page):
    return [axes.images[0].get_array() for axes in page.figure.axes if axes.images]


# ---------------------------------------------------------------------------------------------------------------------
# Panels, profiles
# ---------------------------------------------------------------------------------------------------------------------


def test_panels_show_each_image_and_two_regions_of_it(drawn, tmp_path):
    rows = [image_row("ER"), image_row("CCPs")]
    save_panels(tmp_path / "panels", rows)
    shown = images(drawn[0])
    assert len(shown) == 2 * 3 * 3
    for row in rows:
        regions = zoom_regions(row.images["Ground truth"])
        for image in row.images.values():
            assert any(np.array_equal(image, s) for s in shown)
            for y, x, side in regions:
                assert any(np.array_equal(image[y : y + side, x : x + side], s) for s in shown)
    assert {"Widefield", "OIDN", "Ground truth", "ER, low fluorescence"} <= set(drawn[0].words)


@pytest.mark.parametrize("side", [32, 200])
def test_regions_are_inside_apart_and_on_structure(side):
    image = np.zeros((side, side), np.float32)
    spots = ((side // 4, side // 3), (3 * side // 4, 2 * side // 3))
    for y, x in spots:
        image[y, x] = 1
    regions = zoom_regions(gaussian_filter(image, 1.0))
    for (y, x, s), spot in zip(sorted(regions), spots, strict=True):
        assert 0 < y < y + s < side
        assert 0 < x < x + s < side
        assert y <= spot[0] < y + s
        assert x <= spot[1] < x + s
    (y, x, s), (y2, x2, _) = regions
    assert max(abs(y - y2), abs(x - x2)) >= s


def test_regions_keep_from_the_rim():
    rim = np.zeros((64, 64), np.float32)
    rim[0, ::2] = rim[::2, -1] = 1
    for y, x, side in zoom_regions(rim):
        assert min(y, x) >= side // 4
        assert max(y, x) + side <= 64 - side // 4


@pytest.mark.parametrize("degrees", [0, 30, 90, 140])
def test_the_line_crosses_a_filament_at_a_right_angle(degrees):
    angle = np.deg2rad(degrees)
    ys, xs = np.mgrid[:96, :96] - 48
    filament = np.exp(-0.5 * ((ys * np.cos(angle) - xs * np.sin(angle)) / 2.0) ** 2).astype(np.float32)
    (y0, x0), (y1, x1) = profile_line(filament)
    assert np.hypot(y1 - y0, x1 - x0) == pytest.approx(32)
    along = np.array([np.sin(angle), np.cos(angle)])
    assert abs(along @ (y1 - y0, x1 - x0)) < 32 * np.sin(np.deg2rad(5))
    assert min(y0, x0, y1, x1) >= 0
    assert max(y0, x0, y1, x1) <= 95
    position, profile = sample_profile(filament, ((y0, x0), (y1, x1)))
    width = full_width_at_half_maximum(profile) * (position[1] - position[0])
    assert width == pytest.approx(2.355 * 2.0, rel=0.08)


def test_profiles_are_drawn_for_every_image(drawn, tmp_path):
    row = image_row(labels=("Widefield", "dark"))
    row.images["dark"][...] = 0
    save_line_profiles(tmp_path / "profiles", [row], colours=COLOURS)
    plot = drawn[0].figure.axes[1]
    lines = {line.get_label(): line for line in plot.lines}
    assert list(lines) == ["Widefield", "dark", "Ground truth"]
    widefield = lines["Widefield"].get_ydata()
    assert (widefield.min(), widefield.max()) == (0, 1)
    assert not lines["dark"].get_ydata().any()
    assert {label: line.get_color() for label, line in lines.items()} == {label: COLOURS[label] for label in lines}
    assert plot.lines[0].get_xdata()[-1] == pytest.approx(64 / 3 * PIXEL_NM / 1000, rel=1e-3)


# ---------------------------------------------------------------------------------------------------------------------
# Resolution
# ---------------------------------------------------------------------------------------------------------------------


def test_decorrelation_curves_cutoff_and_resolution(drawn, tmp_path):
    panel = decorrelation_panel()
    save_decorrelation(tmp_path / "da", [panel, decorrelation_panel("noise", empty=True)], title="ER")
    (page,) = drawn
    assert any("0.50, 125 nm" in text and "0.44" in text for text in page.words), page.words
    assert "no cut-off found" in page.words
    curves = [axes for axes in page.figure.axes if len(axes.lines) > 20]
    assert len(curves) == 2
    assert any(np.allclose(line.get_xdata(), 0.5) for line in curves[0].lines)
    assert any(np.array_equal(line.get_ydata(), panel.curves[0]) for line in curves[0].lines)
    (peaks,) = [line for line in curves[0].lines if line.get_linestyle() == "None"]
    np.testing.assert_array_equal(peaks.get_xydata(), [[0.5, 0.6]])


def test_maps_share_their_colours_and_may_be_empty(drawn, tmp_path):
    empty = rolling_panel(mean_nm=np.nan, worst_nm=np.nan)
    near, far = rolling_panel(mean_nm=200.0, worst_nm=300.0), rolling_panel(offset_nm=100.0)
    save_rolling_frc(tmp_path / "rfrc", [near, far, empty])
    shown = [axes.images[0] for axes in drawn[0].figure.axes if axes.images]
    maps = [image for image in shown if image.get_cmap().name != "gray"]
    assert len({image.get_clim() for image in maps}) == 1
    low, high = maps[0].get_clim()
    assert 100 < low < 110
    assert 390 < high < 400
    assert any("mean 200, max 300 nm" in text for text in drawn[0].words)
    assert any("no value" in text for text in drawn[0].words)
    save_rolling_frc(tmp_path / "rfrc", [empty])
    assert len(drawn) == 2


def test_the_measurement_page_and_its_unit(drawn, tmp_path):
    page = measurement_page()
    for unit in ("nm", "px"):
        save_measurement(tmp_path / f"{unit}.svg", measurement_page(unit=unit))
    known, unknown = drawn
    assert {"500 nm", "Local resolution (nm)", page.rolling.label, "1/7: 1234.5 nm, calibrated"} <= set(known.words)
    assert {"Local resolution (px)", "Resolution (px)"} <= set(unknown.words)
    assert "500 nm" not in unknown.words, "a scale bar of unknown length"
    rings = known.figure.axes[-1]
    np.testing.assert_array_equal(rings.lines[1].get_ydata(), page.rings.smoothed)
    assert [line.get_xdata()[0] for line in rings.lines if line.get_linestyle() == ":"] == [0.49, 0.3]


# ---------------------------------------------------------------------------------------------------------------------
# Distributions
# ---------------------------------------------------------------------------------------------------------------------


def test_boxes_have_the_quartiles_and_leave_out_what_is_not_finite(drawn, tmp_path):
    score = "PSNR (dB), affine"
    given = [
        Distribution("ER", level, method, {score: values})
        for level, method, values in (
            ("low", "Wiener SIM", [1.0, 2.0, 3.0, 4.0, 10.0, np.nan]),
            ("high", "Wiener SIM", [5.0, 6.0, 7.0]),
            ("low", "OIDN", [np.inf]),
        )
    ]
    save_box_plots(tmp_path / "boxes", given, colours=COLOURS)
    (axes,) = drawn[0].figure.axes
    assert axes.get_ylabel() == score
    assert [label.get_text() for label in axes.get_xticklabels()] == ["low", "high"]
    box = axes.patches[0].get_path().vertices[:, 1]
    assert (box.min(), box.max()) == pytest.approx(tuple(np.percentile([1, 2, 3, 4, 10], (25, 75))))
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert sorted(np.concatenate([line.get_ydata() for line in dots])) == [1, 2, 3, 4, 5, 6, 7, 10]
    assert any(f"left out: 2 of {score}" in text for text in drawn[0].words)


def test_a_radar_marks_what_a_network_was_trained_on(drawn, tmp_path):
    values = {
        "OIDN": {"ER": 0.9, "CCPs": 0.8, "F-actin": 0.7},
        "Wiener SIM": {"ER": 0.8, "CCPs": np.nan, "F-actin": 0.75},
    }
    same = {"OIDN": {"ER": 0.9, "CCPs": 0.9, "F-actin": 0.9}}
    for given, trained_on in ((values, {"OIDN": "ER"}), (values, {}), (same, {})):
        save_radar(tmp_path / "radar", given, score="SSIM, affine", trained_on=trained_on, colours=COLOURS)
    with_home, without, no_range = (set(page.words) for page in drawn)
    assert {"ER", "CCPs", "F-actin", "OIDN", "Wiener SIM", "trained on this specimen"} <= with_home
    assert "trained on this specimen" not in without
    assert any(text.startswith("Radial axis: SSIM, affine, from 0.") for text in with_home)
    stars = [line for line in drawn[0].figure.axes[0].lines if line.get_marker() == "*"]
    (home,) = [line.get_xydata() for line in stars]
    np.testing.assert_allclose(home[0] / np.hypot(*home[0]), [0, 1], atol=1e-9)
    assert {"0.90", "0.80"} <= no_range
    with pytest.raises(ValueError, match="3"):
        save_radar(tmp_path / "radar", {"OIDN": {"ER": 1.0, "CCPs": 1.0}}, score="RSP", trained_on={}, colours=COLOURS)


# ---------------------------------------------------------------------------------------------------------------------
# PSFs, worst cases
# ---------------------------------------------------------------------------------------------------------------------


def test_widths_at_half_maximum():
    x = np.arange(-20, 21) / 4
    assert full_width_at_half_maximum(np.exp(-0.5 * x**2)) / 4 == pytest.approx(2.3548, rel=0.01)
    assert full_width_at_half_maximum(np.array([0, 1, 2, 1, 0.0])) == pytest.approx(2)
    assert np.isnan(full_width_at_half_maximum(np.array([1.0, 1.0, 2.0, 1.0, 0.0]) + 5))
    assert np.isnan(full_width_at_half_maximum(np.full(4, np.nan)))


def test_the_radial_profile_is_the_mean_over_rings():
    radii, mean = radial_profile(gaussian_psf(2.0))
    np.testing.assert_allclose(mean / mean[0], np.exp(-0.5 * (radii / 2.0) ** 2), rtol=1e-6)
    uneven = np.zeros((4, 4))
    uneven[2, 3] = 1.0
    radii, mean = radial_profile(uneven)
    assert mean[list(radii).index(1.0)] == 0.25


def test_psfs_with_their_difference_widths_and_errors(drawn, tmp_path):
    panel = psf_panel()
    save_psf_comparison(tmp_path / "psf", [panel])
    shown = images(drawn[0])
    for expected in (panel.theoretical, panel.learned, panel.learned - panel.theoretical):
        assert any(np.array_equal(expected, image) for image in shown)
    assert "OIDN: symmetry error 0.123 (theoretical 0.045), energy error 1.0e-07" in drawn[0].words
    (plot,) = [axes for axes in drawn[0].figure.axes if axes.get_title() == "FWHM along x"]
    widths = [full_width_at_half_maximum(psf[4]) * PIXEL_NM for psf in (panel.theoretical, panel.learned)]
    assert [text.get_text().strip() for text in plot.texts] == [f"{width:.0f} nm" for width in widths]
    assert [text.get_color() for text in plot.texts] == [line.get_color() for line in plot.lines]


def test_a_contact_sheet_shows_rows_of_different_images(drawn, tmp_path):
    one = {"level 01": picture(1, 32), "target": picture(1, 64)}
    other = {"level 01": picture(2, 32), "level 02": picture(3, 32), "target": picture(2, 64)}
    nm = {"target": PIXEL_NM}
    rows = [ContactRow("cell 1", one, nm), ContactRow("cell 2", other, {})]
    save_contact_sheet(tmp_path / "sheet", rows, title="F-actin")
    shown = images(drawn[0])
    assert len(shown) == 5
    for image, given in zip(shown, [*one.values(), *other.values()], strict=True):
        np.testing.assert_array_equal(image, given)
    assert {"F-actin", "cell 1", "cell 2", "level 02", "target"} <= set(drawn[0].words)


def test_worst_cases_show_the_error(drawn, tmp_path):
    case = worst_case()
    save_worst_cases(tmp_path / "worst", [case])
    np.testing.assert_array_equal(images(drawn[0])[2], np.abs(case.image - case.target))
    assert "Widefield Microtubules, medium, scene 11 PSNR (dB), min-max 0.432" in drawn[0].words
    save_worst_cases(tmp_path / "worst", [])
    assert any("No image has a value" in text for text in drawn[1].words)


# ---------------------------------------------------------------------------------------------------------------------
# Reliability
# ---------------------------------------------------------------------------------------------------------------------


def test_reliability_curves_show_what_was_expected_and_measured(drawn, tmp_path):
    curve = Reliability(np.array([0.001, 0.01, 0.1]), np.array([0.0, 0.02, 0.05]))  # one bin without any error
    panels = [ReliabilityPanel("ER, low", {"OIDN": curve}), ReliabilityPanel("ER, high", {"OIDN": curve})]
    save_reliability(tmp_path / "reliability", panels, colours=COLOURS)
    for axes in drawn[0].figure.axes:
        if axes.lines:
            points, diagonal = axes.lines
            np.testing.assert_array_equal(points.get_xydata(), np.stack(curve, axis=1))
            np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
            assert axes.get_xlim() == axes.get_ylim()
    assert {"ER, low", "ER, high", "Expected error", "Mean error"} <= set(drawn[0].words)


# ---------------------------------------------------------------------------------------------------------------------
# Bars
# ---------------------------------------------------------------------------------------------------------------------


def test_bars_end_at_the_mean_and_whiskers_are_one_standard_deviation(drawn, tmp_path):
    values = {"OIDN": [20.0, 22.0, 24.0], "without RS": [19.0, np.nan, 21.0], "diverged": [np.nan]}
    psf = {"OIDN": [0.25, 0.31, 0.28]}
    save_bars(tmp_path / "bars", [BarPanel("PSNR (dB), affine", values), BarPanel("Error", psf)], repetition="seed")
    first, second = drawn[0].figure.axes
    assert [patch.get_x() + patch.get_width() for patch in first.patches] == pytest.approx([22.0, 20.0])
    assert [patch.get_x() for patch in first.patches] == [first.get_xlim()[0]] * 2
    whiskers = [collection.get_segments()[0][:, 0] for collection in first.collections]
    np.testing.assert_allclose(whiskers, [[20.0, 24.0], [20.0 - 2**0.5, 20.0 + 2**0.5]])
    assert [text.get_text() for text in first.get_yticklabels()] == list(values)
    assert len(second.patches) == 1
    assert {"PSNR (dB), affine", "Error"} <= set(drawn[0].words)


def test_bars_without_any_value_say_so(drawn, tmp_path):
    save_bars(tmp_path / "bars", [BarPanel("Error", {"OIDN": [np.nan]})], repetition="seed")
    assert "no values" in drawn[0].words
