"""What all figures share: fonts and sizes, colours, and the one way into a file."""

import itertools
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from oidn_jax.data.atomic import check_target, write_atomically
from oidn_jax.errors import IllegalValue

PRINT_DPI, SCREEN_DPI = 300, 100
PRINT_PT, SCREEN_PT = 7.0, 10.0
FORMATS = ("png", "pdf", "svg")

# M. Okabe, K. Ito, "Color universal design" (2008).
PALETTE = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
}
GREY = "#8C8C8C"
LIGHT_GREY = "#D9D9D9"
NO_VALUE = "#BDBDBD"

# Yellow is too bright for lines on white: the last is wine of P. Tol's palette, as safe.
_COLOURS_IN_TURN = (
    *(PALETTE[name] for name in ("purple", "orange", "sky blue")),
    "#882255",
    *(PALETTE[name] for name in ("blue", "green", "vermilion", "black")),
    GREY,
)
# Arial's metrics first; the last comes with matplotlib, is wider by an eighth, and may be all there is.
_FONTS = ("Arial", "Liberation Sans", "DejaVu Sans")
# matplotlib looks for every one of these, and its own `cal` is a font that few machines have.
_MATH_FONTS = {"rm": "", "sf": "", "tt": "", "cal": "", "it": ":italic", "bf": ":bold", "bfit": ":bold:italic"}
# About the size of a figure, for the message when the disk is full.
_TYPICAL_BYTES = 1 << 21


def figure_style(font_pt: float = PRINT_PT) -> AbstractContextManager[None]:
    """matplotlib's settings while a figure is made and saved; what the reader's matplotlibrc says does not matter.

    Args:
        font_pt: size of the text; lines and ticks grow with it.
    """
    installed = set(fontManager.get_font_names())
    fonts = [name for name in _FONTS if name in installed]
    line = font_pt / PRINT_PT
    settings: dict[Any, Any] = {  # pyright's stub has a literal for each name
        "font.family": fonts,
        "font.size": font_pt,
        "axes.titlesize": font_pt,
        "axes.labelsize": font_pt,
        "axes.labelpad": 2 * line,
        "axes.titlepad": 3 * line,
        "axes.linewidth": 0.5 * line,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "legend.fontsize": font_pt,
        "legend.frameon": False,
        "legend.handlelength": 1.5,
        "legend.handletextpad": 0.5,
        "legend.columnspacing": 1.4,
        "legend.borderpad": 0.0,
        "lines.linewidth": 0.8 * line,
        "patch.linewidth": 0.5 * line,
        "figure.facecolor": "white",
        "figure.titlesize": font_pt + 1,
        "savefig.facecolor": "auto",
        "savefig.bbox": None,
        "text.usetex": False,
        "mathtext.fontset": "custom",
        "pdf.fonttype": 42,
        "pdf.compression": 6,
        "svg.fonttype": "path",
        "svg.hashsalt": "oidn_jax",
    }
    for axis in ("xtick", "ytick"):
        settings[f"{axis}.labelsize"] = font_pt
        settings[f"{axis}.major.width"] = 0.5 * line
        settings[f"{axis}.minor.width"] = 0.4 * line
        settings[f"{axis}.major.size"] = 2.0 * line
        settings[f"{axis}.minor.size"] = 1.2 * line
        settings[f"{axis}.major.pad"] = 1.5 * line
    for name, variant in _MATH_FONTS.items():
        settings[f"mathtext.{name}"] = fonts[0] + variant
    return matplotlib.rc_context(settings)


def palette(labels: Iterable[str], *, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """A colour for each label: `known` ones have their own, others take in turn what is left."""
    known, labels = known or {}, list(dict.fromkeys(labels))
    shown = {known[label] for label in labels if label in known}
    free = [colour for colour in _COLOURS_IN_TURN if colour not in shown]
    # The colours of known labels come last, so that a new method is not taken for a known one.
    free.sort(key=lambda colour: colour in known.values())
    others = itertools.cycle(free)
    return {label: known[label] if label in known else next(others) for label in labels}


def check_figure(path: Path, *, overwrite: bool, field: str = "plot") -> None:
    """Refuses a file for a figure before anything is computed.

    Args:
        path: the file.
        overwrite: whether it may replace an existing one.
        field: the setting that names the file, for the message.

    Raises:
        InputError: a suffix that is none of `FORMATS`; a folder, or an existing file without `overwrite`.
    """
    if path.suffix.lower()[1:] not in FORMATS:
        raise IllegalValue(field, str(path), f"its name must end in .{', .'.join(FORMATS[:-1])} or .{FORMATS[-1]}")
    check_target(path, overwrite=overwrite)


def save(figure: Figure, path: Path, *, dpi: int = SCREEN_DPI, overwrite: bool = False) -> Path:
    """Writes a figure whole or not at all, in the format of the suffix; drawn twice it gives the same bytes.

    Args:
        figure: made under `figure_style`, which must still hold.
        path: ends in one of `FORMATS`; missing folders are made.
        dpi: pixels per inch, also of the images in PDF and SVG.
        overwrite: replace an existing file.

    Returns:
        The path.

    Raises:
        InputError: as `check_figure`, or the file cannot be written.
    """
    check_figure(path, overwrite=overwrite)
    kind = path.suffix.lower()[1:]
    # The date is the one thing that would differ from run to run.
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    write_atomically(
        path, lambda part: figure.savefig(part, format=kind, dpi=dpi, metadata=metadata), n_bytes=_TYPICAL_BYTES
    )
    return path


def save_print(figure: Figure, path: Path) -> list[Path]:
    """Writes PATH.png and PATH.pdf at 300 dpi, in place of those there are; gives the two files."""
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "pdf")]
    return [save(figure, file, dpi=PRINT_DPI, overwrite=True) for file in files]
