"""Sinusoidal illumination of structured illumination microscopy.

I_on(r) = A_on [1 + sum_h m_oh cos(2 pi p_oh . r + phi_ohn)], orientation o, phase n, with r in raw pixels from the
centre of raw pixel (h // 2, w // 2) and p in cycles per raw pixel. (p, phi) and (-p, -phi) are the same pattern.

Two beams interfere to one harmonic h. Three beams, along -q, 0 and q, have two: the outer two beams give p_o2 = 2 q,
the finest period, and each of them with the middle one p_o1 = q.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from oidn_jax.optics.grid import fine_positions


class Illumination(NamedTuple):
    """The patterns of one acquisition, a pytree of arrays; the four fields may be traced and differentiated.

    Its waves are the harmonics of all orientations, orientation slow and harmonic fast, the finest harmonic last; of
    two beams there is one wave for each orientation.

    Attributes:
        wave_vector: (waves, 2), the components p_y, p_x in cycles per raw pixel.
        phase: (waves, phases), radians, at the centre of raw pixel (h // 2, w // 2).
        modulation_depth: (waves,), 0 to 1.
        brightness: (orientations, phases), mean of each frame's light: laser fluctuations and bleaching.
    """

    wave_vector: Array
    phase: Array
    modulation_depth: Array
    brightness: Array

    @classmethod
    def ideal(
        cls, wave_vector: Float[Array, "orientations 2"], *, phases: int = 3, modulation_depth: float = 1.0
    ) -> "Illumination":
        """Evenly spaced phases from 0, equal modulation depth, brightness 1."""
        count = wave_vector.shape[0]
        phase = jnp.tile(2.0 * jnp.pi / phases * jnp.arange(phases)[None], (count, 1))
        return cls(wave_vector, phase, jnp.full(count, modulation_depth), jnp.ones((count, phases)))

    @property
    def orientations(self) -> int:
        """Number of illumination directions."""
        return self.brightness.shape[-2]

    @property
    def harmonics(self) -> int:
        """Number of waves of each orientation."""
        return self.wave_vector.shape[-2] // self.orientations

    @property
    def finest(self) -> Float[Array, "*batch orientations 2"] | Float[np.ndarray, "*batch orientations 2"]:
        """The wave vectors of the finest harmonic, which extends the support of SIM."""
        return self.wave_vector[..., self.harmonics - 1 :: self.harmonics, :]

    def reach(self, cutoff: float | Array) -> Float[Array, ""]:
        """Where the support of SIM ends, cutoff + mean |p| of the finest harmonic, cycles per raw pixel."""
        return cutoff + jnp.linalg.norm(self.finest, axis=-1).mean()

    def of_orientation(self, index: int) -> "Illumination":
        """That of one orientation alone."""
        waves = slice(index * self.harmonics, (index + 1) * self.harmonics)
        return Illumination(
            self.wave_vector[waves], self.phase[waves], self.modulation_depth[waves], self.brightness[index : index + 1]
        )

    def seen_from(self, point: tuple[float, float]) -> "Illumination":
        """The same patterns, their phases at a point so many raw pixels (y, x) from where they are given."""
        further = 2.0 * jnp.pi * (self.wave_vector @ jnp.asarray(point, jnp.float32))
        return self._replace(phase=self.phase + further[:, None])


def wave_vectors(
    angles: Float[Array, "orientations"], frequency: Float[Array, "orientations"]
) -> Float[Array, "orientations 2"]:
    """Wave vectors (y, x) = frequency (sin, cos) of the angles in radians; y points down, as rows are stored."""
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1) * frequency[:, None]


def carriers(wave_vector: Float[Array, "waves 2"], *, size: tuple[int, int], scale: int) -> Complex[Array, "waves h w"]:
    """exp(2 pi i p . r) on the grid `scale` times as fine as raw frames of `size` = (h, w)."""
    y, x = (jnp.asarray(fine_positions(n, scale=scale), jnp.float32) for n in size)
    along_y = jnp.exp(2j * jnp.pi * wave_vector[:, :1] * y[None])
    along_x = jnp.exp(2j * jnp.pi * wave_vector[:, 1:] * x[None])
    return along_y[:, :, None] * along_x[:, None, :]


def patterns(
    illumination: Illumination, *, size: tuple[int, int], scale: int
) -> Float[Array, "orientations phases h w"]:
    """Every pattern I_on on the grid `scale` times as fine as raw frames of `size` = (h, w)."""
    carrier = carriers(illumination.wave_vector, size=size, scale=scale)[:, None]
    turn = jnp.exp(1j * illumination.phase)[..., None, None]
    waves = illumination.modulation_depth[:, None, None, None] * (turn * carrier).real
    waves = waves.reshape(illumination.orientations, illumination.harmonics, *waves.shape[1:])
    return illumination.brightness[..., None, None] * (1.0 + waves.sum(1))


def phase_matrix(illumination: Illumination) -> Float[Array, "orientations phases columns"]:
    """What mixes the bands into frames: row n is A_n [1, m cos phi_n, -m sin phi_n], the last two for each harmonic.

    With bands c+ = Re + i Im, frame n is A_n [c0 + sum_h m Re(exp(i phi_n) c+)]: the row times (c0, Re, Im, Re, Im,
    ...).
    """
    depth = illumination.modulation_depth[:, None]
    waves = jnp.stack([depth * jnp.cos(illumination.phase), -depth * jnp.sin(illumination.phase)], axis=-1)
    waves = waves.reshape(illumination.orientations, illumination.harmonics, -1, 2)
    columns = jnp.moveaxis(waves, 1, 2).reshape(*illumination.brightness.shape, -1)
    return illumination.brightness[..., None] * jnp.concatenate([jnp.ones_like(columns[..., :1]), columns], axis=-1)


def bleaching(orientations: int, phases: int, *, per_frame: float | Array) -> Float[Array, "orientations phases"]:
    """Brightness (1 - per_frame)^n of successive frames n, recorded orientation slow and phase fast."""
    return (1.0 - per_frame) ** jnp.arange(orientations * phases).reshape(orientations, phases)
