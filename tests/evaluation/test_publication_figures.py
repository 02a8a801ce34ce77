"""Figures for print: sizes, true scale bars and numbers, the same bytes each time, and what is not finite.

The drawn figures are caught before they become files, whose writing at 300 dpi is what takes time.
"""

import matplotlib
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from oidn_jax.evaluation.example import Example
from oidn_jax.figures import distributions, layout, panels, profiles, psf, resolution, style, worst_cases

PIXEL_NM = 31.3


def picture(seed=0, side=64):
    rng = np.random.default_rng(seed)
    return gaussian_filter(rng.random((side, side)) ** 8, 1.5).astype(np.float32)


def example(specimen="er", side=64, names=("widefield", "oidn")):
    images = {name: picture(i, side) for i, name in enumerate((*names, "target"))}
    return Example(specimen, "low", 0, 1, PIXEL_NM, images)


@pytest.fixture
def drawn(monkeypatch):
    """The figures, which are not written."""
    figures = []

    def keep(figure, path):
        figure.canvas.draw()
        figures.append(figure)
        return [path.with_suffix(".png"), path.with_suffix(".pdf")]

    for module in (distributions, panels, profiles, psf, resolution, worst_cases):
        monkeypatch.setattr(module, "save_figure", keep)
    return figures


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def decorrelation_panel(**changes):
    radii = np.linspace(0, 1, 50)
    curves = np.abs(np.sin(np.outer(np.arange(1, 13), radii)))
    given = {"name": "oidn", "image": picture(), "pixel_size_nm": PIXEL_NM, "radii": radii, "curves": curves}
    given |= {"refined_radii": radii, "refined_curves": curves[:10], "peaks": np.array([[0.0, 0.5], [0.5, 0.6]])}
    return resolution.DecorrelationPanel(**given | {"kc": 0.5, "a0": 0.44, "resolution_nm": 125.2} | changes)


def rolling_panel(**changes):
    values = np.full((64, 64), np.nan, np.float32)
    values[:32] = np.linspace(100, 300, 32 * 64).reshape(32, 64)
    given = {"name": "oidn", "image": picture(), "map_nm": values, "pixel_size_nm": PIXEL_NM}
    return resolution.RollingFrcPanel(**given | {"mean_nm": 200.0, "max_nm": 300.0} | changes)


# ---------------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------------


def test_files_of_a_figure_are_the_same_each_time(tmp_path):
    written = [panels.save_panels(tmp_path / run / "panels", [example()], title="low") for run in ("a", "b")]
    for first, second in zip(*written, strict=True):
        assert first.read_bytes() == second.read_bytes()
    png, pdf = written[0]
    assert (png.name, pdf.name) == ("panels.png", "panels.pdf")
    with Image.open(png) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert image.width in (pytest.approx(88 / 25.4 * 300, abs=1), pytest.approx(180 / 25.4 * 300, abs=1))
    assert pdf.read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in pdf.read_bytes()


def test_the_style_leaves_no_trace(tmp_path):
    before = dict(matplotlib.rcParams)
    with style.publication_style():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    assert dict(matplotlib.rcParams) == before


def test_names_in_print():
    assert [style.method_label(name) for name in ("wiener", "target", "mine")] == ["Wiener SIM", "Ground truth", "mine"]
    assert [style.specimen_label(name) for name in ("f_actin", "mine")] == ["F-actin", "mine"]
    assert style.score_label("affine_psnr") == "PSNR (dB), affine"
    colours = style.method_colours(["oidn", "a", "b", "target"])
    assert len(set(colours.values())) == 4
    assert style.method_colours(["b", "oidn"])["oidn"] == colours["oidn"]


@pytest.mark.parametrize(("side", "length_um"), [(64, 0.5), (256, 2.0), (1024, 5.0)])
def test_scale_bars_are_true(side, length_um):
    figure = layout.new_figure(50.0, 50.0)
    axis = layout.add_axes(figure, (1.0, 1.0, 48.0, 48.0))
    style.draw_image(axis, picture(0, side), pixel_size_nm=PIXEL_NM)
    (bar,) = axis.lines
    assert np.ptp(bar.get_xdata()) * PIXEL_NM / 1000 == pytest.approx(length_um)
    assert max(bar.get_xdata()) < side
    (label,) = axis.texts
    assert label.get_text() == ("500 nm" if length_um < 1 else f"{length_um:g} µm")


# ---------------------------------------------------------------------------------------------------------------------
# Panels, profiles
# ---------------------------------------------------------------------------------------------------------------------


def test_panels_show_each_image_and_two_regions_of_it(drawn, tmp_path):
    given = [example("er"), example("ccps")]
    panels.save_panels(tmp_path / "panels", given)
    shown = [axis.images[0].get_array() for axis in drawn[0].axes]
    assert len(shown) == 2 * 3 * 3
    for of in given:
        regions = panels.zoom_regions(of.images["target"])
        for image in of.images.values():
            assert any(np.array_equal(image, s) for s in shown)
            for y, x, side in regions:
                assert any(np.array_equal(image[y : y + side, x : x + side], s) for s in shown)
    assert {"Widefield", "OIDN", "Ground truth"} <= set(texts(drawn[0]))


@pytest.mark.parametrize("side", [32, 64, 200])
def test_regions_are_inside_apart_and_on_structure(side):
    image = np.zeros((side, side), np.float32)
    spots = ((side // 4, side // 3), (3 * side // 4, 2 * side // 3))
    for y, x in spots:
        image[y, x] = 1
    regions = panels.zoom_regions(gaussian_filter(image, 1.0))
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
    for y, x, side in panels.zoom_regions(rim):
        assert min(y, x) >= side // 4
        assert max(y, x) + side <= 64 - side // 4


@pytest.mark.parametrize("degrees", [0, 30, 90, 140])
def test_the_line_crosses_a_filament_at_a_right_angle(degrees):
    angle = np.deg2rad(degrees)
    ys, xs = np.mgrid[:96, :96] - 48
    filament = np.exp(-0.5 * ((ys * np.cos(angle) - xs * np.sin(angle)) / 2.0) ** 2).astype(np.float32)
    (y0, x0), (y1, x1) = profiles.profile_line(filament)
    assert np.hypot(y1 - y0, x1 - x0) == pytest.approx(32)
    along = np.array([np.sin(angle), np.cos(angle)])
    assert abs(along @ (y1 - y0, x1 - x0)) < 32 * np.sin(np.deg2rad(5))
    assert min(y0, x0, y1, x1) >= 0
    assert max(y0, x0, y1, x1) <= 95
    position, profile = profiles.sample_profile(filament, ((y0, x0), (y1, x1)))
    width = psf.full_width_at_half_maximum(profile) * (position[1] - position[0])
    assert width == pytest.approx(2.355 * 2.0, rel=0.08)


def test_profiles_are_drawn_for_every_image(drawn, tmp_path):
    of = example(names=("widefield", "dark"))
    of.images["dark"][...] = 0
    profiles.save_line_profiles(tmp_path / "profiles", [of])
    plot = drawn[0].axes[1]
    lines = {line.get_label(): line.get_ydata() for line in plot.lines}
    assert list(lines) == ["Widefield", "dark", "Ground truth"]
    assert (lines["Widefield"].min(), lines["Widefield"].max()) == (0, 1)
    assert not lines["dark"].any()
    assert plot.lines[0].get_xdata()[-1] == pytest.approx(64 / 3 * PIXEL_NM / 1000, rel=1e-3)


# ---------------------------------------------------------------------------------------------------------------------
# Resolution
# ---------------------------------------------------------------------------------------------------------------------


def test_decorrelation_curves_cutoff_and_resolution(drawn, tmp_path):
    nothing = decorrelation_panel(name="noise", kc=0.0, a0=0.0, resolution_nm=np.inf, peaks=np.zeros((2, 2)))
    resolution.save_decorrelation(tmp_path / "da", [decorrelation_panel(), nothing], title="ER")
    text = texts(drawn[0])
    assert any("0.50, 125 nm" in t and "0.44" in t for t in text), text
    assert "no cut-off found" in text
    curves = [axis for axis in drawn[0].axes if len(axis.lines) > 20]
    assert len(curves) == 2
    assert any(np.allclose(line.get_xdata(), 0.5) for line in curves[0].lines)
    assert any(np.array_equal(line.get_ydata(), decorrelation_panel().curves[0]) for line in curves[0].lines)
    (peaks,) = [line for line in curves[0].lines if line.get_linestyle() == "None"]
    np.testing.assert_array_equal(peaks.get_xydata(), [[0.5, 0.6]])


def test_maps_share_their_colours_and_may_be_empty(drawn, tmp_path):
    empty = rolling_panel(map_nm=np.full((64, 64), np.nan, np.float32), mean_nm=np.nan, max_nm=np.nan)
    far = rolling_panel(map_nm=rolling_panel().map_nm + 100, mean_nm=300.0, max_nm=400.0)
    resolution.save_rolling_frc(tmp_path / "rfrc", [rolling_panel(), far, empty])
    maps = [axis.images[0] for axis in drawn[0].axes if axis.images and axis.images[0].get_cmap().name != "gray"]
    assert len({image.get_clim() for image in maps}) == 1
    low, high = maps[0].get_clim()
    assert 100 < low < 110
    assert 390 < high < 400
    text = texts(drawn[0])
    assert any("mean 200, max 300 nm" in t for t in text)
    assert any("no value" in t for t in text)
    resolution.save_rolling_frc(tmp_path / "rfrc", [empty])
    assert len(drawn) == 2


# ---------------------------------------------------------------------------------------------------------------------
# Distributions
# ---------------------------------------------------------------------------------------------------------------------


def rows(values):
    return [
        {"specimen": "er", "level": level, "method": method, "affine_psnr": float(value)}
        for (level, method), of in values.items()
        for value in of
    ]


def test_boxes_have_the_quartiles_and_leave_out_what_is_not_finite(drawn, tmp_path):
    values = {("low", "wiener"): [1, 2, 3, 4, 10, np.nan], ("high", "wiener"): [5, 6, 7], ("low", "oidn"): [np.inf]}
    distributions.save_box_plots(tmp_path / "boxes", rows(values), scores=["affine_psnr"])
    (axis,) = drawn[0].axes
    assert axis.get_ylabel() == "PSNR (dB), affine"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["low", "high"]
    box = axis.patches[0].get_path().vertices[:, 1]
    assert (box.min(), box.max()) == pytest.approx(tuple(np.percentile([1, 2, 3, 4, 10], (25, 75))))
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert sorted(np.concatenate([line.get_ydata() for line in dots])) == [1, 2, 3, 4, 5, 6, 7, 10]
    assert "left out: 2 of PSNR (dB), affine" in " ".join(" ".join(texts(drawn[0])).split())


def test_a_radar_marks_what_a_network_was_trained_on(drawn, tmp_path):
    values = {"oidn": {"er": 0.9, "ccps": 0.8, "f_actin": 0.7}, "wiener": {"er": 0.8, "ccps": np.nan, "f_actin": 0.75}}
    distributions.save_radar(tmp_path / "radar", values, score="affine_ssim", trained_on={"oidn": "er"})
    distributions.save_radar(tmp_path / "radar", values, score="affine_ssim", trained_on={})
    with_home, without = (set(texts(figure)) for figure in drawn)
    assert {"ER", "CCPs", "F-actin", "OIDN", "Wiener SIM", "trained on this specimen"} <= with_home
    assert "trained on this specimen" not in without
    assert any(text.startswith("Radial axis: SSIM, affine, from 0.") for text in with_home)
    same = {"oidn": {"er": 0.9, "ccps": 0.9, "f_actin": 0.9}}
    distributions.save_radar(tmp_path / "radar", same, score="affine_ssim", trained_on={})
    assert {"0.90", "0.80"} <= set(texts(drawn[2])), "values without a range"
    with pytest.raises(ValueError, match="3"):
        distributions.save_radar(tmp_path / "radar", {"oidn": {"er": 1.0, "ccps": 1.0}}, score="rsp", trained_on={})


# ---------------------------------------------------------------------------------------------------------------------
# PSFs, worst cases
# ---------------------------------------------------------------------------------------------------------------------


def gaussian_psf(sigma, n=8):
    r2 = (np.arange(n) - n // 2) ** 2
    kernel = np.exp(-0.5 * (r2[:, None] + r2[None, :]) / sigma**2)
    return kernel / kernel.sum()


def test_widths_at_half_maximum():
    x = np.arange(-20, 21) / 4
    assert psf.full_width_at_half_maximum(np.exp(-0.5 * x**2)) / 4 == pytest.approx(2.3548, rel=0.01)
    assert psf.full_width_at_half_maximum(np.array([0, 1, 2, 1, 0.0])) == pytest.approx(2)
    assert np.isnan(psf.full_width_at_half_maximum(np.array([1.0, 1.0, 2.0, 1.0, 0.0]) + 5))
    assert np.isnan(psf.full_width_at_half_maximum(np.full(4, np.nan)))


def test_the_radial_profile_is_the_mean_over_rings():
    radii, mean = psf.radial_profile(gaussian_psf(2.0))
    np.testing.assert_allclose(mean / mean[0], np.exp(-0.5 * (radii / 2.0) ** 2), rtol=1e-6)
    uneven = np.zeros((4, 4))
    uneven[2, 3] = 1.0
    radii, mean = psf.radial_profile(uneven)
    assert mean[list(radii).index(1.0)] == 0.25


def test_psfs_with_their_difference_widths_and_errors(drawn, tmp_path):
    theoretical, learned = gaussian_psf(2.0), gaussian_psf(1.2)
    psf.save_psf_comparison(
        tmp_path / "psf", [psf.PsfPanel("oidn", theoretical, learned, PIXEL_NM, 0.123, 0.045, 1e-7)]
    )
    shown = [axis.images[0].get_array() for axis in drawn[0].axes if axis.images]
    for expected in (theoretical, learned, learned - theoretical):
        assert any(np.array_equal(expected, image) for image in shown)
    text = "\n".join(texts(drawn[0]))
    assert "symmetry error 0.123 (theoretical 0.045), energy error 1.0e-07" in text
    width = psf.full_width_at_half_maximum(learned[4]) * PIXEL_NM
    assert f"learned: {width:.0f} nm" in text


def test_worst_cases_show_the_error(drawn, tmp_path):
    image, target = picture(0), picture(1)
    case = worst_cases.WorstCase("oidn", "affine_ssim", 0.4321, "er", "low", 3, image, target, PIXEL_NM)
    worst_cases.save_worst_cases(tmp_path / "worst", [case])
    shown = [axis.images[0].get_array() for axis in drawn[0].axes if axis.images]
    np.testing.assert_array_equal(shown[2], np.abs(image - target))
    (text,) = [t for t in texts(drawn[0]) if "scene 3" in t]
    assert "OIDN\nER, low,\nscene 3" in text
    assert "SSIM, affine\n0.432" in text
    worst_cases.save_worst_cases(tmp_path / "worst", [])
    assert any("No image has a value" in text for text in texts(drawn[1]))


# ---------------------------------------------------------------------------------------------------------------------
# The printed page
# ---------------------------------------------------------------------------------------------------------------------


def box_rows():
    given = [(s, level, m) for s in ("er", "ccps") for level in ("low", "medium", "high") for m in ("wiener", "oidn")]
    row = {"affine_psnr": 31.2, "affine_ssim": 0.91234, "da_resolution_nm": float("inf")}
    return [{"specimen": s, "level": level, "method": m, **row} for s, level, m in given for _ in range(2)]


PSF_PANEL = psf.PsfPanel("oidn", gaussian_psf(1.9), gaussian_psf(6.0), PIXEL_NM, 0.1, 0.01, 1e-3)
CASE = worst_cases.WorstCase("widefield", "minmax_psnr", 21.3, "microtubules", "medium", 11, *2 * [picture()], PIXEL_NM)
RADAR = {f"OIDN, {home}": {"microtubules": 0.8, "ccps": 0.9, "f_actin": 0.85} for home in ("ccps", "f_actin")}
MAPS = [rolling_panel(name=name, mean_nm=1234.5, max_nm=2345.6) for name in ("wiener", "hifi", "oidn", "a", "b", "c")]
FIGURES = {
    "panels": (lambda path: panels.save_panels(path, [example("er"), example("ccps")], title="low"), 88),
    "many panels": (lambda path: panels.save_panels(path, [example(names=list("abcdefg"))] * 4), 180),
    "profiles": (lambda path: profiles.save_line_profiles(path, [example(side=200)]), 180),
    "two profiles": (lambda path: profiles.save_line_profiles(path, [example(names=list("abcdefg"))] * 2), 180),
    "decorrelation": (lambda path: resolution.save_decorrelation(path, [decorrelation_panel()], title="ER"), 88),
    "curves": (lambda path: resolution.save_decorrelation(path, [decorrelation_panel()] * 3), 180),
    "rolling FRC": (lambda path: resolution.save_rolling_frc(path, MAPS[:5], title="ER"), 180),
    "six maps": (lambda path: resolution.save_rolling_frc(path, MAPS, title="ER"), None),
    "two maps": (lambda path: resolution.save_rolling_frc(path, MAPS[:2]), 88),
    "box plot": (lambda path: distributions.save_box_plots(path, box_rows(), scores=["affine_psnr"]), 88),
    "box plots": (lambda path: distributions.save_box_plots(path, box_rows(), scores=list(box_rows()[0])[3:]), 180),
    "radar": (
        lambda path: distributions.save_radar(path, RADAR, score="affine_ssim", trained_on={"OIDN, ccps": "ccps"}),
        88,
    ),
    "psf": (lambda path: psf.save_psf_comparison(path, [PSF_PANEL] * 4), 180),
    "worst cases": (lambda path: worst_cases.save_worst_cases(path, [CASE] * 3), 180),
    "many worst cases": (lambda path: worst_cases.save_worst_cases(path, [CASE] * 8), None),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_fits_on_a_page_and_no_text_lies_on_another_or_beyond_it(drawn, tmp_path, monkeypatch, name):
    save, width_mm = FIGURES[name]
    save(tmp_path / "figure")
    (figure,) = drawn
    width, height = layout.size_mm(figure)
    assert width == pytest.approx(width_mm, abs=1.5) if width_mm else width < 180
    assert height <= layout.PAGE_HEIGHT_MM + 0.1

    shown, draw = [], matplotlib.text.Text.draw
    monkeypatch.setattr(matplotlib.text.Text, "draw", lambda self, *given: (shown.append(self), draw(self, *given))[1])
    figure.set_dpi(style.DPI)  # text is a little wider at few pixels
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown if text.get_text() and text.get_visible()]
    assert len(boxes) > 4
    for i, (text, box) in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
        for other, there in boxes[:i]:
            # Boxes have room for the descenders that numbers at the corner of a plot do not have.
            assert not box.padded(-2).overlaps(there.padded(-2)), (text, other)
