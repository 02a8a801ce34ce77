"""The optics of a channel: what was given, and what its file says."""

from dataclasses import dataclass, replace

from oidn_jax.data.raw_stack import RawStack
from oidn_jax.optics.microscope import Microscope

_DIFFERENT = 0.05
# What files say is believed within these bounds: others come from a wrong unit or an empty field.
_PLAUSIBLE = {"na": (0.05, 1.75), "emission_wavelength_nm": (300.0, 1500.0)}


@dataclass(frozen=True)
class ChannelOptics:
    """What recorded a channel.

    Attributes:
        given: by the user, a configuration or a model; or the usual one.
        assumed: fields of `given` that nobody gave: there, what the file says goes before it.
        told: what the file says, by the name of the field.
    """

    given: Microscope
    assumed: tuple[str, ...]
    told: dict[str, float]

    @classmethod
    def of_channel(cls, stack: RawStack, number: int, given: Microscope, assumed: tuple[str, ...]) -> "ChannelOptics":
        """Of a channel of a stack, counted from 0."""
        in_file = {"na": stack.images.na, "emission_wavelength_nm": stack.channels[number].emission_nm}
        told = {
            name: value
            for name, value in in_file.items()
            if value is not None and _PLAUSIBLE[name][0] <= value <= _PLAUSIBLE[name][1]
        }
        return cls(given, assumed, told)

    @property
    def microscope(self) -> Microscope:
        """With what the file says where nobody gave it."""
        return replace(self.given, **{name: value for name, value in self.told.items() if name in self.assumed})

    @property
    def missing(self) -> list[str]:
        """What neither anybody nor the file gave, in words; but the damping, which the frames may tell."""
        words = {
            "na": f"NA {self.given.na:g}",
            "emission_wavelength_nm": f"emission at {self.given.emission_wavelength_nm:g} nm",
        }
        return [text for name, text in words.items() if name in self.assumed and name not in self.told]

    def describe_sources(self, given_by: str) -> str:
        """Where the numbers come from, in words."""
        words = {"na": "NA", "emission_wavelength_nm": "emission"}
        told = [words[name] for name in self.told if name in self.assumed]
        sources = [given_by] if given_by else []
        sources += [f"the file ({', '.join(told)})"] if told else []
        sources += [f"assumed: {', '.join(self.missing)}"] if self.missing else []
        if "otf_damping" in self.assumed:
            sources.append(f"assumed unless the frames tell it: an OTF damping of {self.given.otf_damping:g}")
        return " and ".join(sources)

    @property
    def contradiction(self) -> str | None:
        """What to say where the file differs from what is used by more than 5 %."""
        lines = []
        words = {"na": ("NA {:g}", "na"), "emission_wavelength_nm": ("an emission of {:g} nm", "emission_nm")}
        for name, value in self.told.items():
            ours, (text, flag) = getattr(self.microscope, name), words[name]
            if abs(value - ours) > _DIFFERENT * ours:
                lines.append(f"{text.format(value)}, but {ours:g} is used (`{flag}`)")
        return f"the file tells of {' and of '.join(lines)}" if lines else None
