"""The diagnostics page: marks lie on the peaks, bands at their place, numbers and units are right, any acquisition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import figure
from matplotlib.image import imread

from oidn_jax.classical.estimation import Estimate
from oidn_jax.classical.peaks import SEARCHED
from oidn_jax.data import InputError
from oidn_jax.optics.forward import form_raw_frames, pixel_transfer
from oidn_jax.optics.fourier import frequency_radius
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.otf import airy_otf
from oidn_jax.optics.transfer import TransferFunction
from oidn_jax.reconstruction import diagnostics, diagnostics_panels
from oidn_jax.reconstruction.diagnostics import write_diagnostics

CUTOFF = 0.32
OTF = TransferFunction.from_samples(airy_otf(np.linspace(0, CUTOFF, 200), cutoff=CUTOFF), cutoff=CUTOFF)
SIZE = (48, 60)
PIXELS = np.array([[12, -3], [-4, 15], [9, 12]])  # wave vectors in frequency pixels
GRATING = np.array([-20, 10])  # beyond the cutoff, within reach of the first band


def estimated(illumination):
    """An estimate that is true."""
    count, ones = len(illumination.wave_vector), jnp.ones(len(illumination.wave_vector))
    return Estimate(
        illumination=illumination,
        confidence=20.0 + jnp.arange(count),
        runner_up=4 * ones,
        joint=jnp.array(False),
        coherence=0.9 * ones,
        modulation_with_noise=0.5 * ones,
        single_phases=illumination.phase,
        overlap=100 * ones,
    )


def acquired(size, pixels, *, phases=3):
    """Noise-free frames of random points, and the same with a fine grating; their illumination, estimated."""
    h, w = size
    given = Illumination.ideal(jnp.asarray(pixels / size, jnp.float32), phases=phases, modulation_depth=0.8)
    points = jax.random.exponential(jax.random.key(0), (2 * h, 2 * w)) ** 4
    y, x = np.mgrid[: 2 * h, : 2 * w] / 2
    grating = jnp.asarray(2 + np.cos(2 * np.pi * (GRATING[0] / h * y + GRATING[1] / w * x)), jnp.float32)
    transfer = airy_otf(frequency_radius(2 * h, 2 * w), cutoff=CUTOFF / 2)
    transfer = jnp.asarray(transfer * pixel_transfer(2 * h, 2 * w, scale=2, integrate=False), jnp.float32)
    form = jax.jit(lambda s: form_raw_frames(s, given, transfer, scale=2))
    return form(points), form(grating), estimated(given)


@pytest.fixture(scope="module")
def scene():
    return acquired(SIZE, PIXELS)


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A function that writes a page and gives the figure that was drawn."""
    figures = []
    save = figure.Figure.savefig
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *a, **o: (figures.append(self), save(self, *a, **o))[1])

    def draw(frames, estimate, **options):
        image = jnp.repeat(jnp.repeat(frames.mean(0), 2, 0), 2, 1)
        options = {"method": "wiener", "pixel_size_nm": 50.0} | options
        write_diagnostics(tmp_path / "cell.png", frames, image, estimate=estimate, otf=OTF, **options)
        assert imread(tmp_path / "cell.png")[..., :3].std() > 0.1
        assert [entry.name for entry in tmp_path.iterdir()] == ["cell.png"]
        return figures[-1]

    return draw


def drawn(page, title):
    """The one panel whose title contains a text."""
    (found,) = (axes for axes in page.axes if title in axes.get_title())
    return found


def strongest(axes, limits):
    """Where the largest pixel of a panel's image is drawn, (y, x), of those at a distance within limits from 0."""
    (image,) = axes.images
    values = np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    h, w = values.shape
    y, x = top + (np.arange(h) + 0.5) / h * (bottom - top), left + (np.arange(w) + 0.5) / w * (right - left)
    radius = np.hypot(y[:, None], x[None, :])
    inside = (radius > limits[0]) & (radius < limits[1])
    row, column = np.unravel_index(np.argmax(np.where(inside, values, -np.inf)), values.shape)
    return y[row], x[column]


def marked(axes):
    """Where the marks of a panel are, (marks, 2)."""
    return np.array([(line.get_ydata()[0], line.get_xdata()[0]) for line in axes.lines])


def test_marks_lie_on_the_peaks(scene, page):
    frames, _, estimate = scene
    per_pixel, searched = 1000 / 50 / np.array(SIZE), 1000 / 50 * CUTOFF * np.array(SEARCHED)
    sheet = page(frames, estimate, warnings=["a long warning " * 40, "short"])
    signed = np.stack([PIXELS, -PIXELS], 1).reshape(-1, 2) * per_pixel
    np.testing.assert_allclose(marked(drawn(sheet, "spectrum of the raw frames")), signed, rtol=1e-5)
    np.testing.assert_allclose(marked(drawn(sheet, "spectrum of the result")), signed, rtol=1e-5)
    for i, vector in enumerate(PIXELS * per_pixel):
        panel = drawn(sheet, f"{i + 1}: correlation Z = {20 + i}.0, next 4.0")
        np.testing.assert_allclose(marked(panel), [vector], rtol=1e-5)
        np.testing.assert_allclose(strongest(panel, searched), vector, rtol=1e-5)
        (enlarged,) = panel.child_axes
        np.testing.assert_allclose((np.mean(enlarged.get_ylim()), np.mean(enlarged.get_xlim())), vector, rtol=1e-5)
        np.testing.assert_allclose(drawn(sheet, f"{i + 1}: band +1").patches[1].center, -vector[::-1], rtol=1e-5)
    texts = [text.get_text() for part in sheet.subfigs for text in part.texts]
    assert "Warnings" in texts
    assert max(len(line) for text in texts for line in text.split("\n")) <= 200
    assert [line.get_label() for line in drawn(sheet, "optical transfer").lines[:3]] == [
        "raw frames",
        "along $p_1$",
        "across",
    ]


def test_a_page_of_another_kind(page):
    """Five phases, one orientation, unknown pixel size, a method without transfer function, an upright field."""
    frames, _, estimate = acquired((60, 40), np.array([[11, -9]]), phases=5)
    sheet = page(frames, estimate, method="oidn", pixel_size_nm=None)
    panel = drawn(sheet, "1: correlation")
    np.testing.assert_allclose(strongest(panel, CUTOFF * np.array(SEARCHED)), [11 / 60, -9 / 40], rtol=1e-5)
    assert len(drawn(sheet, "mean of each frame").patches) == 5
    assert "cycles/pixel" in drawn(sheet, "spectrum of the result").get_xlabel()
    assert not drawn(sheet, "widefield").patches
    assert drawn(sheet, "optical transfer").get_title().endswith("the result has none")
    assert len(sheet.subfigs) == 2


def test_a_grating_beyond_the_cutoff_appears_at_its_place(scene):
    """In band +1 at its own frequency, and in no band 0."""
    _, frames, estimate = scene
    found = diagnostics._diagnose(frames, jnp.ones((96, 120)), estimate, otf=OTF, method="widefield")
    moved = np.asarray(found.moved[0])
    zero = np.array(moved.shape) // 2
    y, x = np.mgrid[: moved.shape[0], : moved.shape[1]] - zero[:, None, None]
    place = np.unravel_index(np.nanargmax(np.where(np.hypot(y, x) > 5, moved, np.nan)), moved.shape)
    np.testing.assert_array_equal(place - zero, GRATING)
    assert not np.isfinite(found.at_rest[0][tuple(zero + GRATING)])


def test_stripes_left_in_the_result_stand_out(scene):
    frames, _, estimate = scene
    noise = np.random.default_rng(0).normal(size=(96, 120))
    y, x = np.mgrid[:96, :120] / 2
    stripes = 0.2 * np.cos(2 * np.pi * (PIXELS[1, 0] / SIZE[0] * y + PIXELS[1, 1] / SIZE[1] * x))
    image = jnp.asarray(noise + stripes, jnp.float32)
    found = diagnostics._diagnose(frames, image, estimate, otf=OTF, method="widefield")
    assert found.residual_peak[1] > 8
    assert max(found.residual_peak[0], found.residual_peak[2]) < 4
    np.testing.assert_allclose(found.condition, np.sqrt(2) / 0.8, rtol=1e-4)


@pytest.mark.parametrize("method", ["wiener", "hifi"])
def test_the_effective_psf_is_narrower(scene, method):
    """Of an Airy disc the width is 0.51 wavelengths over NA, which is 1.03 over the cutoff."""
    frames, _, estimate = scene
    found = diagnostics._diagnose(frames, jnp.ones((96, 120)), estimate, otf=OTF, method=method)
    widths = [
        diagnostics_panels.width_at_half_maximum(np.asarray(found.profiles.position), np.asarray(row))
        for row in found.profiles.psf
    ]
    assert widths[0] == pytest.approx(1.03 / CUTOFF, rel=0.01)
    assert max(widths[1:]) < 0.75 * widths[0]


def test_the_table_is_in_the_units_of_the_page(scene):
    estimate = jax.device_get(scene[2])
    period = 1 / np.hypot(*(PIXELS / SIZE).T)
    for pixel_size_nm, unit, factor in ((50.0, "nm", 50.0), (None, "pixels", 1.0)):
        units = diagnostics_panels.Units.of(pixel_size_nm)
        table = diagnostics_panels.table_of(estimate, units, size=SIZE, condition=np.ones(3))
        assert table[f"period ({unit})"] == [f"{factor * n:.4g}" for n in period]
        assert table["p (x, y) (frequency pixels)"] == [f"{x:.2f}, {y:.2f}" for y, x in PIXELS]
        assert table["phases (degrees)"] == ["0, 120, 240"] * 3


def test_an_existing_page_is_kept(tmp_path, scene):
    frames, _, estimate = scene
    path = tmp_path / "cell.png"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists already"):
        write_diagnostics(path, frames, frames[0], estimate=estimate, otf=OTF, method="oidn", pixel_size_nm=None)
    assert path.read_bytes() == b"mine"
