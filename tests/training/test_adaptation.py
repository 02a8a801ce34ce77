"""Learning from frames without a truth: what the loss compares, what is held out, when it ends."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.models.networks import initial_params
from oidn_jax.optics.forward import form_raw_frames
from oidn_jax.optics.fourier import filter_image
from oidn_jax.training.adaptation import (
    AdaptationSettings,
    adapt,
    adapt_acquisitions,
    adapt_fields,
    held_out_cells,
)
from oidn_jax.training.lessons import MARGIN, RIM, Exposure, Field, draw, light_ratio, misfit, part, recorrupted
from tests.acquisition.simulated import MICROSCOPE, counts, scene
from tests.methods.fakes import untrained

SIZE = 48


@cache
def acquisition():
    """Bright spots under certain stripes."""
    return Acquisition.of_frames(np.moveaxis(counts(), 0, -1), MICROSCOPE)


@cache
def field():
    return Field(Exposure.of(acquisition(), 0))


@cache
def wiener_network():
    """A guided network before training, which gives the first of its guides."""
    model = untrained("guided", microscope=MICROSCOPE)
    return replace(model, params=initial_params(model.network, jax.random.key(0)))


def settings(**fields):
    return AdaptationSettings(**({"steps": 12, "evaluate_every": 4, "batch_size": 2, "learning_rate": 3e-3} | fields))


def lesson_of_truth(*, background=0.0, noise=0.0):
    """Any image, and a lesson whose frames are those of the object that it is the perfect image of."""
    random, known = np.random.default_rng(0), field().shown
    blank = Exposure(np.zeros_like(known.light), np.ones_like(known.light), known.illumination, known.otf)
    side = known.size[0] + 2 * MARGIN
    lesson = draw(jax.random.key(0), Field(blank, blank), scale=2, strength=0.5, side=side)
    image = jnp.asarray(random.normal(1000.0, 500.0, lesson.transfer.shape), jnp.float32)
    image = filter_image(image, 1.0 / lesson.sharpening)
    true_object = filter_image(image, lesson.sharpening)
    frames = form_raw_frames(true_object, lesson.illumination, lesson.transfer, scale=2)
    frames = frames + background * lesson.illumination.brightness.reshape(-1, 1, 1)
    return image, lesson._replace(
        frames=frames + noise * random.normal(size=frames.shape), variance=np.ones_like(frames)
    )


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_two_of_a_recorruption_have_independent_noise_and_one_mean(strength):
    random = np.random.default_rng(0)
    variance = jnp.broadcast_to(jnp.linspace(1.0, 9.0, 4), (2000, 50, 4))
    light = 20.0 + jnp.sqrt(variance) * random.normal(size=variance.shape)

    def noise_of(variance):
        return (np.asarray(y) - 20.0 for y in recorrupted(jax.random.key(0), light, variance, strength=strength))

    expected = np.asarray(variance[0, 0]) * (1.0 + 1.0 / strength**2)
    error = np.sqrt(np.asarray(variance[0, 0]) * (1.0 + strength**2) * expected / 1e5)
    first, second = noise_of(variance)
    assert (np.abs((first * second).mean((0, 1))) < 4.0 * error).all()
    assert (np.abs(second.mean((0, 1))) < 4.0 * np.sqrt(expected / 1e5)).all()
    np.testing.assert_allclose(second.var((0, 1)), expected, rtol=0.03)
    first, second = noise_of(2.0 * variance)  # drawn from another noise than that of the frames
    assert (np.abs((first * second).mean((0, 1))) > 4.0 * error).all()


def test_the_true_image_leaves_nothing_but_noise_and_others_more():
    image, lesson = lesson_of_truth(noise=1.0)
    true = float(misfit(image, lesson, start=image, scale=2).mean())
    assert true == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / lesson.frames.size))
    for wrong in (1.1 * image, jnp.roll(image, 1, axis=0), filter_image(image, jnp.asarray(lesson.transfer))):
        assert float(misfit(wrong, lesson, start=wrong, scale=2).mean()) > 1.5 * true


def test_light_that_the_patterns_do_not_modulate_does_not_count():
    image, lesson = lesson_of_truth(background=30.0)
    np.testing.assert_allclose(misfit(image, lesson, start=image, scale=2), 0.0, atol=0.01)


def test_the_slow_part_of_the_image_stays_as_the_weights_given_have_it():
    image, lesson = lesson_of_truth(background=30.0, noise=1.0)
    y = jnp.arange(image.shape[0]) / image.shape[0]
    cloud = 2.0 * jnp.cos(2.0 * jnp.pi * y)[:, None] * jnp.ones_like(image)
    held, free = (float(misfit(image + cloud, lesson, start=start, scale=2).mean()) for start in (image, image + cloud))
    assert held > free + 0.5 > 1.0


def test_a_part_predicts_what_the_whole_does():
    image = np.pad(np.asarray(scene().target[..., 0]), 2 * MARGIN, mode="symmetric") * 300.0
    (y, x), side, full = (9, 4), SIZE + 2 * MARGIN, image.shape[0] // 2

    def left(corner, side):
        lesson = part(draw(jax.random.key(0), field(), scale=2, strength=0.5, side=side), corner, side)
        top, first = (2 * n for n in corner)
        here = jnp.asarray(image[top : top + 2 * side, first : first + 2 * side])
        return misfit(here, lesson, start=here, scale=2)

    whole = left((0, 0), full)[:, y : y + side, x : x + side]
    inside = np.s_[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    np.testing.assert_allclose(left((y, x), side)[inside].mean(), whole[inside].mean(), rtol=0.02)


def test_cells_are_apart_from_what_is_learned_and_in_the_field():
    sizes = [(64, 96), (48, 48)]
    cells = held_out_cells(sizes, np.random.default_rng(0))
    count = 0
    for (h, w), own in zip(sizes, cells, strict=True):
        covered = np.zeros((h + 2 * MARGIN, w + 2 * MARGIN))
        for cell in own:
            covered[cell] += 1.0
            count += 1
        edge = MARGIN + RIM
        assert covered.max(initial=0.0) <= 1.0
        assert covered[edge:-edge, edge:-edge].sum() == covered.sum()
    assert count == 1  # a fifth of 2 x 3 and 1


def test_a_step_too_large_is_never_kept_and_ends_it():
    given = wiener_network()
    result = adapt_fields(given, [field()], settings(steps=50, learning_rate=3.0, evaluate_every=1, patience=2))
    assert (result.better, result.step) == (False, 0)
    assert result.steps == 2
    assert result.model.params is given.params


def test_it_learns_to_explain_what_it_is_not_shown_and_says_of_what():
    heard = []
    result = adapt_acquisitions(
        [acquisition()], wiener_network(), settings=settings(steps=40), progress=lambda *now: heard.append(now)
    )
    assert result.better
    assert result.before - result.after > result.error
    assert [step for step, *_ in heard] == list(range(1, result.steps + 1))
    assert heard[-1][1:] == (40, result.after)
    (to,) = result.model.origin["adapted"]
    assert (to["files"], to["step"], to["recorruption"]) == (["frames"], result.step, 1.0)
    assert result.model.origin["name"] == wiener_network().origin["name"]


def test_a_seed_gives_the_same_bits_and_a_stop_is_heard():
    first, second = (
        adapt_fields(wiener_network(), [field()], settings(steps=8), stop=partial(next, iter([False] * 3 + [True])))
        for _ in range(2)
    )
    assert first.steps == 4
    jax.tree.map(np.testing.assert_array_equal, first.model.params, second.model.params)
    assert (first.before, first.after) == (second.before, second.after)


def test_a_pair_knows_how_much_brighter_it_is_and_who_is():
    weak = np.moveaxis(counts(), 0, -1).astype(np.float32)
    bright = Acquisition.of_frames(100.0 + 3.0 * (weak - 100.0), MICROSCOPE)
    shown = acquisition().light(0)
    assert light_ratio(shown, 3.0 * shown + 7.0) == pytest.approx(3.0, rel=1e-3)
    result = adapt_acquisitions([acquisition()], wiener_network(), brighter=[bright], settings=settings())
    assert np.isfinite([result.before, result.after]).all()
    with pytest.raises(InputError, match="is not a brighter image of the same field"):
        adapt_acquisitions([bright], wiener_network(), brighter=[acquisition()], settings=settings())
    moved = Acquisition.of_frames(np.roll(100.0 + 3.0 * (weak - 100.0), 2, axis=0), MICROSCOPE)
    with pytest.raises(InputError, match=r"moved between them by 2\.\d pixels"):
        adapt_acquisitions([acquisition()], wiener_network(), brighter=[moved], settings=settings())


def test_what_cannot_be_learned_from_is_refused():
    with pytest.raises(InputError, match="a guided network can be adapted, not 'unet'"):
        adapt_acquisitions([acquisition()], untrained("unet"))
    noise = np.random.default_rng(0).poisson(100.0, (1, SIZE, SIZE, 9)).astype(np.float32)
    with pytest.raises(InputError, match="the stripes are not certain in every orientation"):
        adapt(noise, wiener_network(), microscope=MICROSCOPE)
    with pytest.raises(InputError, match="it takes 48 x 48"):
        adapt(noise[:, :40], wiener_network(), microscope=MICROSCOPE)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"learning_rate": 0.0}, {"ema_decay": 1.0}, {"seed": -1}])
def test_settings_check_themselves(wrong):
    with pytest.raises(IllegalValue, match=next(iter(wrong))):
        AdaptationSettings(**wrong)
