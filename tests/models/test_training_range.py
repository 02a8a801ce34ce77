"""What an acquisition lies outside of, by the name of the quantity."""

import re

import pytest

from oidn_jax.config import experiment_of
from oidn_jax.models.training_range import TrainingRange
from tests.conftest import make_tiny_config

RANGE = TrainingRange(cutoff=(0.2, 0.4), pattern=(0.5, 1.0), photons=(5.0, 500.0))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ()),
        ({"cutoff": 0.195, "pattern": 1.04, "photons": 700.0}, ()),  # hardly outside
        ({"photons": None}, ()),
        ({"cutoff": 0.45}, (r"pixel size: .* larger, .*cutoff 0\.450 .*trained 0\.200 to 0\.400",)),
        ({"cutoff": 0.15}, (r"pixel size: .* smaller",)),
        ({"pattern": 0.4}, (r"stripes: their \|p\| is 0\.40 of the cutoff, .* 0\.50 to 1\.00",)),
        ({"photons": 1.0}, ("signal: about 1 photo-electrons .* 5 to 500",)),
        ({"cutoff": 0.5, "pattern": 1.5, "photons": 5000.0}, ("pixel size", "stripes", "signal: about 5e\\+03")),
    ],
)
def test_a_line_for_each_quantity_outside(given, expected):
    lines = RANGE.outside(**{"cutoff": 0.3, "pattern": 0.8, "photons": 50.0, **given})
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert re.search(words, line)


def test_the_range_of_a_run_covers_all_it_is_trained_with():
    config = make_tiny_config()
    config.variety.microscopes = (
        {"microscope.na": 1.2, "simulation.illumination_na": 1.0, "simulation.illumination_na_spread": 0.1},
        {"simulation.mean_photons": (2.0, 900.0), "simulation.fluorescence": {"low": (1,), "high": (2,)}},
    )
    run = experiment_of(config).run
    first, second = run.simulations
    cutoffs = [each.microscope.cutoff for each in (first, second)]
    assert run.range.cutoff == (min(cutoffs), max(cutoffs))
    assert run.range.pattern[0] == pytest.approx(0.9 * first.illumination_frequency / first.microscope.cutoff)
    assert run.range.photons == (2.0, 900.0)


@pytest.mark.parametrize("content", [{"cutoff": [1, 2]}, {**RANGE._asdict(), "photons": [3, 2]}])
def test_other_contents_are_refused(content):
    with pytest.raises((TypeError, ValueError)):
        TrainingRange.from_plain(content)
