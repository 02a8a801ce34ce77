"""Frames without noise whose illumination is known."""

import jax
import jax.numpy as jnp
import numpy as np

from oidn_jax.classical.estimation import Estimate
from oidn_jax.optics.forward import form_raw_frames, pixel_transfer
from oidn_jax.optics.fourier import frequency_radius
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.otf import airy_otf
from oidn_jax.optics.transfer import TransferFunction

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
        false_alarm=0 * ones,
        joint=jnp.array(False),
        coherence=0.9 * ones,
        modulation_with_noise=0.5 * ones,
        single_phases=illumination.phase,
        phase_error=0.01 + 0 * illumination.phase,
        overlap=100 * ones,
    )


def acquired():
    """Frames of random points, and of a fine grating; their illumination, estimated."""
    h, w = SIZE
    illumination = Illumination.ideal(jnp.asarray(PIXELS / SIZE, jnp.float32), phases=3, modulation_depth=0.8)
    points = jax.random.exponential(jax.random.key(0), (2 * h, 2 * w)) ** 4
    y, x = np.mgrid[: 2 * h, : 2 * w] / 2
    grating = jnp.asarray(2 + np.cos(2 * np.pi * (GRATING[0] / h * y + GRATING[1] / w * x)), jnp.float32)
    transfer = airy_otf(frequency_radius(2 * h, 2 * w), cutoff=CUTOFF / 2)
    transfer = jnp.asarray(transfer * pixel_transfer(2 * h, 2 * w, scale=2, integrate=False), jnp.float32)
    form = jax.jit(lambda sample: form_raw_frames(sample, illumination, transfer, scale=2))
    return form(points), form(grating), estimated(illumination)
