"""How often stripes are found where there are none, and where there are.

python -m benchmarks.false_alarms [--acquisitions 40] [--record]

Simulated acquisitions of 128 x 128 frames with the "pupil" microscope of `benchmarks.scenes`: the four specimens, and
beads that are points of equal light. "photons" are the 99.9th percentile of the mean frame, of beads its largest pixel.
Two rules are compared: the confidence, Z >= 4.7, and the false-alarm probability, P <= 0.001.

- without stripes (modulation depth 0): acquisitions in which any orientation passes for certain; with the noise of
  photons and camera alone, and also with frames moved at random by 0.1 pixels and 5 % apart in brightness;
- with stripes: orientations whose wave vector is right, to a frequency pixel, and certain.
"""

import argparse
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from benchmarks.record import Column, RecordedTable, record
from benchmarks.scenes import NAMES, PUPIL, SceneCache, expose_frames
from oidn_jax.classical.chance import SURE
from oidn_jax.classical.estimation import estimate_illumination
from oidn_jax.optics.illumination import Illumination
from oidn_jax.simulation.acquisitions import draw_illumination

SIDE, BEADS, BY_HEIGHT = 128, (10, 50, 500), 4.7
# Name, photons, modulation depth, movement in pixels, scatter of the brightness.
CONDITIONS = {
    "no stripes, 20 photons": (20.0, 0.0, 0.0, 0.0),
    "no stripes, 1000": (1000.0, 0.0, 0.0, 0.0),
    "no stripes, 1000, movement": (1000.0, 0.0, 0.1, 0.05),
    "stripes, 20, depth 0.5": (20.0, 0.5, 0.0, 0.0),
    "stripes, 60, depth 0.8": (60.0, 0.8, 0.0, 0.0),
}

estimate = jax.jit(estimate_illumination)


class Objects:
    """Light of the frames of an object under an illumination, as the objective passes it."""

    def __init__(self):
        self.scenes = SceneCache()
        self.otf = jnp.asarray(PUPIL.microscope.fine_otf(self.scenes.side, self.scenes.side), jnp.float32)

    def drawn(self, name: str, *, count: int) -> Iterator[Array]:
        """So many of a kind, on the fine grid."""
        for i in range(count):
            if name in NAMES:
                yield self.scenes.specimen(len(NAMES) * i + NAMES.index(name))
            else:
                middle = self.scenes.side  # of the fine grid
                places = np.random.default_rng(i).integers(8 - SIDE, SIDE - 8, (2, int(name.split()[0])))
                yield jnp.zeros((2 * middle, 2 * middle)).at[tuple(middle + places)].set(1.0)

    def light(self, specimen: Array, given: Illumination) -> Array:
        """The middle of the frames."""
        inside = slice((self.scenes.side - SIDE) // 2, (self.scenes.side + SIDE) // 2)
        return jnp.maximum(self.scenes.form(specimen, given, self.otf)[:, inside, inside], 0.0)


def moved(light: Array, *, pixels: float, scatter: float, seed: int) -> Array:
    """Each frame by a random shift, and of a random brightness."""
    random = np.random.default_rng(seed)
    ky, kx = np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None]
    shift = random.normal(0.0, pixels, (len(light), 2, 1, 1))
    spectrum = np.fft.fft2(np.asarray(light)) * np.exp(-2j * np.pi * (ky * shift[:, 0] + kx * shift[:, 1]))
    brightness = 1.0 + random.normal(0.0, scatter, (len(light), 1, 1))
    return jnp.asarray(np.maximum(np.fft.ifft2(spectrum).real * brightness, 0.0), jnp.float32)


def rates(objects: Objects, name: str, condition: str, *, count: int) -> list[float]:
    """Per cent that pass for certain, by height and by probability."""
    photons, depth, pixels, scatter = CONDITIONS[condition]
    camera, otf = PUPIL.settings.camera, PUPIL.microscope.otf()
    draw = jax.jit(partial(draw_illumination, simulation=PUPIL))
    passed = []
    for i, specimen in enumerate(objects.drawn(name, count=count)):
        given = draw(jax.random.key(3000 + i))
        given = given._replace(modulation_depth=jnp.full_like(given.modulation_depth, depth))
        light = objects.light(specimen, given)
        mean = light.mean(0)
        light = light * photons / (jnp.percentile(mean, 99.9) if name in NAMES else mean.max())
        light = moved(light, pixels=pixels, scatter=scatter, seed=i)
        estimated = estimate(expose_frames(jax.random.key(4000 + i), light, camera=camera) - camera.offset, otf)
        off = SIDE * jnp.linalg.norm(estimated.illumination.wave_vector - given.wave_vector, axis=-1)
        by_rule = jnp.stack([estimated.confidence >= BY_HEIGHT, estimated.false_alarm <= SURE])
        passed.append(np.asarray((by_rule & (off < 1.0)).mean(1) if depth else by_rule.any(1)))
    return (100.0 * np.mean(passed, axis=0)).tolist()


def rates_table(*, count: int) -> RecordedTable:
    """A row for each object."""
    objects = Objects()
    columns = [Column("object"), *(Column(f"{name}, %", "{:.0f} → {:.0f}") for name in CONDITIONS)]
    names = [*NAMES, *(f"{number} beads" for number in BEADS)]
    rows = [[name, *(rates(objects, name, condition, count=count) for condition in CONDITIONS)] for name in names]
    title = f"passed for certain, by Z >= {BY_HEIGHT:g} → by P <= {SURE:g}; {count} acquisitions in each cell"
    return RecordedTable("rates", title, columns, rows)


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acquisitions", type=int, default=40, help="in each cell (default 40)")
    parser.add_argument("--record", action="store_true", help="write docs/benchmarks/false_alarms.json")
    options = parser.parse_args()
    table = rates_table(count=options.acquisitions)
    table.print()
    if options.record:
        record("false_alarms", [table])


if __name__ == "__main__":
    main()
