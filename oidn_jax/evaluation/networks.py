"""The networks of an evaluation: how they are called, and whether they fit the scenes."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.methods.classical import LABELS
from oidn_jax.models.trained import TrainedModel
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.specimens import SPECIMENS

NETWORK = "network"  # stands for every network that is given
METHODS = ("widefield", "wiener", "true-wiener", "hifi", "tv", NETWORK)
USUAL = ("widefield", "wiener", "hifi", NETWORK)  # total variation takes seconds an image
# What images are called, in the files and in print; a network of that name would take the place of one.
RESERVED_NAMES = (*METHODS, "target", *LABELS.values(), "Ground truth")


def name_networks(given: Sequence[str]) -> dict[str, str]:
    """The folders by the name of their method: `NAME=DIR` as given, else the folder's name, NETWORK for a single one.

    Raises:
        IllegalValue: an empty folder, two of one name, or the name of another image.
    """
    named: dict[str, str] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals or "/" in name or Path(text).is_dir():  # a folder whose own name has an equals sign
            name, folder = "", text
        if not name and len(given) == 1:
            return {NETWORK: folder}
        name = name or Path(folder).resolve().name
        taken = {used.casefold() for used in (*RESERVED_NAMES, *named)}
        if not folder or not re.fullmatch(r"[\w.+= -]+", name) or name.casefold() in taken:
            legal = (
                f"it is the method {name!r}; each network needs a folder and a name of its own, of letters, digits and "
                f". + - _, that no other image has ({', '.join(RESERVED_NAMES)}): give NAME=DIR"
            )
            raise IllegalValue("workdir", text, legal)
        named[name] = folder
    return named


def network_labels(models: Mapping[str, TrainedModel]) -> dict[str, str]:
    """What networks are called in print: by their architecture where they have no name of their own."""

    def is_free(label: str, name: str) -> bool:
        return label.casefold() not in {other.casefold() for other in models if other != name}

    return {
        name: model.label if name in (NETWORK, model.fields["name"]) and is_free(model.label, name) else name
        for name, model in models.items()
    }


def trained_on(model: TrainedModel) -> str:
    """The specimens that a network was trained on, in print."""
    names = str(model.origin.get("specimen", "an unknown specimen")).split(", ")
    return ", ".join(SPECIMENS[name].label if name in SPECIMENS else name for name in names)


def check_fits(model: TrainedModel, microscope: Microscope, *, name: str) -> None:
    """Whether a network takes the raw frames of a microscope, and its images have their grid.

    Raises:
        InputError: what differs.
    """
    fields = ("scale",) if model.guided else ("orientations", "phases", "scale", "pixel_size_nm")
    for field in fields:
        theirs, ours = getattr(model.microscope, field), getattr(microscope, field)
        if theirs != ours:
            raise InputError(
                f"the network {name} has {field} {theirs}, but the configuration has `microscope.{field}` {ours}; give "
                "a configuration of the microscope it was trained for"
            )


def other_microscope(model: TrainedModel, microscope: Microscope) -> list[str]:
    """Where the microscope of a network differs from another one, in words."""
    fields = {"na": "NA", "emission_wavelength_nm": "emission wavelength (nm)", "otf_damping": "OTF damping"}
    pairs = {word: (getattr(model.microscope, field), getattr(microscope, field)) for field, word in fields.items()}
    words = [f"{word} {theirs:g} instead of {ours:g}" for word, (theirs, ours) in pairs.items() if theirs != ours]
    return words + (["another measured OTF"] if model.microscope.measured_otf != microscope.measured_otf else [])
