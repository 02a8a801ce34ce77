"""A tiny evaluation: two scenes of 32 pixels, of the specimen that is the quickest to draw, and untrained networks."""

from dataclasses import replace
from functools import cache

from oidn_jax.evaluation.scenes import simulate_scenes
from oidn_jax.evaluation.settings import EvaluationSettings
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.settings import Simulation, SimulationSettings
from tests.methods.fakes import untrained

LEVELS = ["low", "medium", "high"]
MICROSCOPE = Microscope()


def simulation(specimen="ccps", **fields):
    return Simulation(
        SimulationSettings(**{"specimen": specimen, "density": (1.0, 2.0), "margin": 4} | fields), MICROSCOPE
    )


def settings(**fields):
    return EvaluationSettings(**{"scenes": 2, "size": 32, "panels": 1, "rolling_block": 32} | fields)


@cache
def two_scenes():
    """Exposed twice."""
    return simulate_scenes(simulation(), settings(), repeated=True)


def model(network="oidn", *, microscope=MICROSCOPE):
    """Untrained, as if it had been trained on clathrin-coated pits."""
    one = untrained(network, microscope=microscope)
    return replace(one, origin={**one.origin, "specimen": "ccps"}, configuration={"model": dict(one.fields)})
