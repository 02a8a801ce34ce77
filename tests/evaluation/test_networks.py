"""Networks of an evaluation: what they are called, and whether they fit the scenes."""

from dataclasses import replace

import pytest

from oidn_jax.errors import InputError
from oidn_jax.evaluation.networks import (
    NETWORK,
    check_fits,
    name_networks,
    network_labels,
    other_microscope,
    trained_on,
)
from tests.evaluation.tiny import MICROSCOPE, model


def test_networks_are_named_by_their_folders_a_single_one_by_what_it_is():
    assert name_networks([]) == {}
    assert name_networks(["runs/a"]) == {NETWORK: "runs/a"}
    assert name_networks(["x=runs/a"]) == {"x": "runs/a"}
    assert name_networks(["runs/a/", "x=runs/b"]) == {"a": "runs/a/", "x": "runs/b"}
    assert name_networks(["runs/lr=0.1", "b=runs/lr=0.1"]) == {"lr=0.1": "runs/lr=0.1", "b": "runs/lr=0.1"}


@pytest.mark.parametrize(
    "given",
    [
        ["wiener=a"],
        ["target=a"],
        ["ground Truth=a"],
        ["HiFi-SIM=a"],
        ["[red]x=a"],
        ["x=", "runs/a"],
        ["runs/a", "other/a"],
        ["A=runs/a", "a=runs/b"],
        ["network=runs/a", "oidn=runs/b"],
    ],
)
def test_a_name_that_another_image_has_is_refused(given):
    with pytest.raises(InputError, match=r"`workdir`.*give NAME=DIR") as caught:
        name_networks(given)
    assert "\n" not in str(caught.value)


def test_in_print_an_architecture_has_its_own_name_and_a_name_that_was_given_stays():
    models = {"oidn": model("oidn"), "unet": model("unet"), "mine": model("oidn")}
    assert network_labels(models) == {"oidn": "OIDN", "unet": "U-Net", "mine": "mine"}
    alike = {"u-net": model("oidn"), "unet": model("unet")}
    assert network_labels(alike) == {"u-net": "u-net", "unet": "unet"}, "no two of one name"


def test_what_a_network_was_trained_on_is_told_in_print():
    network = model("unet")
    assert trained_on(network) == "CCPs"
    assert trained_on(replace(network, origin={"specimen": "yeast"})) == "yeast", "of somebody's own"


@pytest.mark.parametrize(
    ("field", "value"), [("pixel_size_nm", 60.0), ("phases", 5), ("orientations", 2), ("scale", 3)]
)
def test_a_network_of_other_frames_or_pixels_does_not_fit(field, value):
    network = model("unet")
    check_fits(network, MICROSCOPE, name="mine")
    with pytest.raises(InputError, match=rf"network mine has {field} .*`microscope\.{field}` {value}"):
        check_fits(network, replace(MICROSCOPE, **{field: value}), name="mine")


def test_other_optics_are_told():
    other = replace(MICROSCOPE, na=1.3, emission_wavelength_nm=607.0)
    assert other_microscope(model("unet"), MICROSCOPE) == []
    assert other_microscope(model("unet"), other) == [
        "NA 1.49 instead of 1.3",
        "emission wavelength (nm) 525 instead of 607",
    ]
