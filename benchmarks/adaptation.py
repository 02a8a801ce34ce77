"""What adaptation brings: python -m benchmarks.adaptation --workdir=runs/guided [--specimen=er] [--pair].

A network is adapted to simulated fields of 192 x 192 under a microscope that no configuration trains on (NA 1.3, 70 nm,
607 nm), each for itself. Affine PSNR (dB), 8 fine pixels at the edge left out, of Wiener SIM, the network before, and
after: on that field, and as a mean over three further fields of 128 x 128 that it has not seen.
"""

import argparse
from dataclasses import replace
from functools import partial

import jax
import numpy as np

from oidn_jax import load
from oidn_jax.acquisition import Acquisition
from oidn_jax.config import experiment_of, specimen_config
from oidn_jax.methods import ClassicalMethod, Method, NetworkMethod
from oidn_jax.metrics.image import psnr
from oidn_jax.metrics.normalisation import affine_match
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation
from oidn_jax.training.adaptation import AdaptationSettings, adapt_acquisitions

_EDGE = 8
_BRIGHTER = 8.0  # the exposure of a pair
Scene = tuple[Acquisition, np.ndarray]


def simulation_of(specimen: str, photons: float) -> Simulation:
    """The specimen under the microscope, at one light."""
    config = specimen_config(specimen, "quick")
    config.microscope.update(na=1.3, pixel_size_nm=70.0, emission_wavelength_nm=607.0)
    config.simulation.update(excitation_wavelength_nm=560.0, illumination_na=1.2)
    simulation = experiment_of(config).run.simulation
    settings = simulation.settings
    return replace(simulation, settings=replace(settings, mean_photons=(photons,) * len(settings.mean_photons)))


def scene(simulation: Simulation, seed: int, size: int) -> Scene:
    """The acquisition of a seed, and its target."""
    simulate = jax.jit(partial(simulate_acquisition, simulation=simulation, size=(size, size)))
    simulated = simulate(jax.random.key(seed), 0)
    acquisition = Acquisition.of_frames(np.asarray(simulated.raw_frames), simulation.microscope)
    return acquisition, np.asarray(simulated.target[..., 0])


def score(method: Method, scenes: list[Scene]) -> float:
    """Mean affine PSNR in dB."""
    inside = np.s_[_EDGE:-_EDGE, _EDGE:-_EDGE]
    values = []
    for acquisition, target in scenes:
        image, truth = method(acquisition, 0).pixels[inside], target[inside]
        matched = affine_match(image, truth).apply(image)
        values.append(float(psnr(matched, truth, data_range=float(np.ptp(truth)))))
    return float(np.mean(values))


def main() -> None:
    """Prints a line for each field."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--checkpoint", choices=("best", "last"))
    parser.add_argument("--specimen", default="microtubules")
    parser.add_argument("--photons", type=float, default=15.0)
    parser.add_argument("--pair", action="store_true", help=f"learn from an exposure {_BRIGHTER:g} times as bright")
    parser.add_argument("--fields", type=int, default=3)
    parser.add_argument("--steps", type=int, default=AdaptationSettings.steps)
    parser.add_argument("--learning-rate", type=float, default=AdaptationSettings.learning_rate)
    parser.add_argument("--recorruption", type=float, default=AdaptationSettings.recorruption)
    options = parser.parse_args()
    settings = AdaptationSettings(
        steps=options.steps, learning_rate=options.learning_rate, recorruption=options.recorruption
    )
    model = load(options.workdir, checkpoint=options.checkpoint)
    simulation = simulation_of(options.specimen, options.photons)
    others = [scene(simulation, 100 + i, 128) for i in range(3)]
    bright = simulation_of(options.specimen, _BRIGHTER * options.photons)
    for seed in range(10, 10 + options.fields):
        own = [scene(simulation, seed, 192)]
        brighter = [scene(bright, seed, 192)[0]] if options.pair else None
        adapted = adapt_acquisitions([own[0][0]], model, brighter=brighter, settings=settings)
        methods = (ClassicalMethod("wiener"), NetworkMethod(model), NetworkMethod(adapted.model))
        numbers = [" ".join(f"{score(method, scenes):.2f}" for method in methods) for scenes in (own, others)]
        print(
            f"field {seed}: Wiener, before, after: {numbers[0]}; other fields {numbers[1]}; step {adapted.step} of "
            f"{adapted.steps}, loss {adapted.before:.4f} to {adapted.after:.4f} ({adapted.error:.4f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
