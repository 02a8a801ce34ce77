"""Laws of the drawings: where light goes, how much of it, in nanometres and not in pixels."""

import math
import pkgutil
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.simulation import drawing, specimens
from oidn_jax.simulation.specimen import Draw
from oidn_jax.simulation.specimens import SPECIMENS

PIXEL_NM = 31.3
SHAPE = (128, 128)
DENSITY = {"f_actin": (4.0, 4.0), "microtubules": (2.0, 2.0), "ccps": (1.0, 1.0), "er": (2.5, 2.5)}


def drawer(specimen, *, shape=SHAPE, pixel_size_nm=PIXEL_NM, variation=0.3, density=None):
    draw = partial(
        SPECIMENS[specimen].draw,
        shape=shape,
        pixel_size_nm=pixel_size_nm,
        density=density or DENSITY[specimen],
        brightness_variation=variation,
    )
    return jax.jit(draw)


@pytest.fixture(scope="module", params=sorted(SPECIMENS))
def specimen(request):
    return request.param


@pytest.fixture(scope="module")
def draw(specimen):
    return drawer(specimen)


@pytest.fixture(scope="module")
def images(draw):
    """Scenes of a specimen of fixed density."""
    return np.stack([draw(jax.random.key(i)) for i in range(12)])


def test_every_file_of_the_folder_is_a_specimen():
    files = {module.name for module in pkgutil.iter_modules(specimens.__path__)}
    assert {specimen.name for specimen in SPECIMENS.values()} == set(SPECIMENS) == files
    assert len({specimen.folder for specimen in SPECIMENS.values()}) == len(files)
    assert all(isinstance(specimen.draw, Draw) for specimen in SPECIMENS.values())


def test_a_new_specimen_is_a_new_file(tmp_path, monkeypatch):
    (tmp_path / "spots.py").write_text(
        "from oidn_jax.simulation.specimen import Specimen\n"
        "SPECIMEN = Specimen(name='spots', label='Spots', folder='Spots', draw=lambda key, shape, **rest: key)\n"
    )
    monkeypatch.setattr(specimens, "__path__", [*specimens.__path__, str(tmp_path)])
    try:
        assert set(specimens._specimens()) == {*SPECIMENS, "spots"}
    finally:
        sys.modules.pop(f"{specimens.__name__}.spots", None)


def test_points_share_their_brightness_between_four_pixels():
    points = jnp.array([[1.25, 2.0], [0.0, 0.0], [-5.0, 1.0], [9.0, 9.0], [-0.5, 3.0], [3.0, 3.5]])
    image = drawing.draw_points((4, 4), points, jnp.array([2.0, 1.0, 7.0, 7.0, 4.0, 6.0]))
    expected = np.zeros((4, 4))
    expected[1, 2], expected[2, 2], expected[0, 0], expected[0, 3], expected[3, 3] = 1.5, 0.5, 1.0, 2.0, 3.0
    np.testing.assert_allclose(image, expected, atol=1e-6)


def test_curves_pass_their_anchor_and_bend_as_their_persistence_says(key):
    """Var(direction change) = length / persistence, over lengths beyond that of the curvature; steps of one spacing."""
    count, steps, pixel_size_nm, persistence_um = 4000, 301, 50.0, 20.0
    nodes = random.normal(key, (count, drawing.curvature_nodes(steps, pixel_size_nm=pixel_size_nm)))
    path, normal = jax.jit(
        partial(drawing.smooth_curves, steps=steps, pixel_size_nm=pixel_size_nm, persistence_um=persistence_um)
    )(nodes, jnp.ones((count, 2)), jnp.full(count, 0.3))
    np.testing.assert_allclose(path[:, 150], 1.0, atol=1e-4)
    np.testing.assert_allclose(jnp.linalg.norm(jnp.diff(path, axis=1), axis=-1), drawing.POINT_SPACING, rtol=1e-3)
    angle = np.unwrap(np.arctan2(-normal[..., 1], normal[..., 0]), axis=1)
    np.testing.assert_allclose(angle[:, 150], 0.3, atol=1e-4)
    length_um = (280 - 150) * drawing.POINT_SPACING * pixel_size_nm / 1000.0
    np.testing.assert_allclose((angle[:, 280] - angle[:, 150]).var(), length_um / persistence_um, rtol=0.15)


def test_labels_are_whole_numbers_with_poisson_variance(key):
    labelled = drawing.label(key, jnp.full((200, 200), 0.5), labels_per_unit=6.0)
    np.testing.assert_allclose(labelled * 6.0, jnp.round(labelled * 6.0), atol=1e-5)
    np.testing.assert_allclose([labelled.mean(), labelled.var()], [0.5, 0.5 / 6.0], rtol=0.03)


def test_log_normal_numbers_have_the_mean_1(key):
    numbers = drawing.log_normal(random.normal(key, (100_000,)), variation=0.5)
    np.testing.assert_allclose([numbers.mean(), jnp.log(numbers).std()], [1.0, 0.5], rtol=0.02)


def test_keys_decide(draw, key):
    np.testing.assert_array_equal(draw(key), draw(key))
    assert np.abs(draw(key) - draw(jax.random.key(7))).max() > 0.1


def test_images_are_densities(images):
    assert np.all(np.isfinite(images))
    assert images.min() >= 0
    assert np.all(images.max((1, 2)) > 0.1)


def test_the_light_is_that_of_the_density(specimen, images):
    """Mean = length per area x pixel size for what is thin; pits: number x circumference, less those that overlap.

    Sheets of the reticulum come on top of its tubules.
    """
    pixel_um = PIXEL_NM / 1000.0
    mean_radius_um = 0.070
    expected = {
        "f_actin": 4.0 * pixel_um,
        "microtubules": 2.0 * pixel_um,
        "ccps": 1.0 * 2 * math.pi * mean_radius_um * pixel_um,
        "er": 2.5 * pixel_um,
    }[specimen]
    assert 0.8 * expected < images.mean() < (1.5 if specimen == "er" else 1.2) * expected


def test_the_field_has_no_edge(specimen, images):
    """The border is as bright as the middle, on average over scenes and their directions."""
    border = np.ones(SHAPE, bool)
    border[16:-16, 16:-16] = False
    ratio = images[:, border].mean() / images[:, ~border].mean()
    assert 0.6 < ratio < 1.5


def test_more_density_is_more_light(specimen, images):
    density = 2.0 * DENSITY[specimen][0]
    draw = drawer(specimen, density=(density, density))
    light = np.mean([draw(jax.random.key(i)).mean() for i in range(12)])
    assert 1.4 < light / images.mean() < 2.2


def test_sizes_are_nanometres(specimen, key):
    """Half the pixel size on twice the pixels: the structures keep their size, so spectra agree in cycles per µm."""
    spectra = []
    for pixels, pixel_size_nm in ((128, 31.3), (256, 15.65)):
        draw = drawer(specimen, shape=(pixels, pixels), pixel_size_nm=pixel_size_nm, variation=0.0)
        scenes = np.stack([draw(jax.random.key(i)) for i in range(8)])
        power = np.abs(np.fft.fft2(scenes / scenes.mean()) / scenes[0].size) ** 2
        index = np.hypot(*np.meshgrid(*[np.fft.fftfreq(pixels, 1 / pixels)] * 2)).round().astype(int)
        spectra.append(np.bincount(index.ravel(), power.mean(0).ravel())[4:40] / np.bincount(index.ravel())[4:40])
    ratio = spectra[0] / spectra[1]
    assert 0.5 < np.median(ratio) < 2.0


def test_pits_are_rings_of_100_to_200_nm(key):
    """Alone in the field: light within 100 nm of the centre, hardly any in the middle of a hollow one."""
    draw = drawer("ccps", density=(0.05, 0.05), shape=(160, 160), pixel_size_nm=10.0, variation=0.0)
    hollow = 0
    for i in range(12):
        image = np.asarray(draw(jax.random.key(i)))
        bright = np.argwhere(image > 0)
        if not len(bright):
            continue
        extent = np.ptp(bright, axis=0).max() * 10.0
        if extent > 260 or bright.min() < 2 or bright.max() > 157:  # several pits, or one at the border
            continue
        assert extent > 60
        y, x = (bright * image[tuple(bright.T)][:, None]).sum(0) / image.sum()
        middle = np.hypot(bright[:, 0] - y, bright[:, 1] - x) < 2.5
        hollow += image[tuple(bright[middle].T)].sum() < 0.02 * image.sum()
    assert hollow >= 2


def test_junctions_of_the_reticulum_join_three_tubules():
    """Around the points where the two nearest borders meet, a small circle crosses three bright arcs in the median."""
    draw = drawer("er", density=(1.2, 1.2), shape=(256, 256), pixel_size_nm=15.0, variation=0.0)
    arcs = []
    for i in range(4):
        image = np.asarray(draw(jax.random.key(i)))
        tubule = image > 0.5 * np.percentile(image[image > 0.01], 90)
        blurred = sum(np.roll(image, (dy, dx), (0, 1)) for dy in range(-6, 7) for dx in range(-6, 7))
        for _ in range(6):
            y, x = np.unravel_index(blurred.argmax(), image.shape)
            blurred[max(0, y - 30) : y + 30, max(0, x - 30) : x + 30] = 0
            if not (30 < y < 226 and 30 < x < 226):
                continue
            turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
            ring = tubule[(y + 18 * np.sin(turn)).astype(int), (x + 18 * np.cos(turn)).astype(int)]
            arcs.append(int(np.sum(ring & ~np.roll(ring, 1))))
    assert np.median(arcs) == 3
