"""What the figures for print share: font, colours, names, images with scale bars, and how a figure becomes files."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from oidn_jax.evaluation.scores import SCORES

DPI = 300
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
ZOOM_COLOURS = (PALETTE["orange"], PALETTE["sky blue"])

_METHODS = {
    "widefield": ("Widefield", GREY),
    "wiener": ("Wiener SIM", PALETTE["blue"]),
    "hifi": ("HiFi-SIM", PALETTE["green"]),
    "oidn": ("OIDN", PALETTE["vermilion"]),
    "target": ("Ground truth", PALETTE["black"]),
}
# Yellow is too bright for lines on white: the last is wine of P. Tol's palette, as safe.
_OTHER_COLOURS = (PALETTE["purple"], PALETTE["orange"], PALETTE["sky blue"], "#882255")
_SPECIMENS = {"f_actin": "F-actin", "ccps": "CCPs", "er": "ER", "microtubules": "Microtubules"}
# Arial's metrics first, then what comes with matplotlib.
_FONTS = ("Arial", "Liberation Sans", "DejaVu Sans")
_BAR_PT, _BAR_MARGIN = 1.5, 0.05


def publication_style() -> AbstractContextManager[None]:
    """matplotlib's settings while a figure is made and saved; what the reader's matplotlibrc says does not matter."""
    fonts = _installed_fonts()
    settings: dict[Any, Any] = {  # pyright's stub has a literal for each name
        "font.family": fonts,
        "font.size": 7,
        "axes.titlesize": 7,
        "axes.labelsize": 7,
        "axes.labelpad": 2,
        "axes.titlepad": 3,
        "axes.linewidth": 0.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "legend.handlelength": 1.5,
        "legend.handletextpad": 0.5,
        "legend.columnspacing": 1.4,
        "legend.borderpad": 0.0,
        "lines.linewidth": 0.8,
        "patch.linewidth": 0.5,
        **{f"{axis}tick.{name}": size for axis in "xy" for name, size in _TICKS.items()},
        "figure.facecolor": "white",
        "savefig.facecolor": "auto",
        "savefig.bbox": None,
        "text.usetex": False,
        "mathtext.fontset": "custom",
        **{f"mathtext.{name}": fonts[0] + style for name, style in _MATH.items()},
        "pdf.fonttype": 42,
        "pdf.compression": 6,
    }
    return matplotlib.rc_context(settings)


_TICKS = {"major.width": 0.5, "minor.width": 0.4, "major.size": 2.0, "minor.size": 1.2, "major.pad": 1.5}

# All of them: matplotlib looks for every one, and its own `cal` is a font that few machines have.
_MATH = {"rm": "", "sf": "", "tt": "", "cal": "", "it": ":italic", "bf": ":bold", "bfit": ":bold:italic"}


@cache
def _installed_fonts() -> list[str]:
    installed = set(fontManager.get_font_names())
    return [name for name in _FONTS if name in installed]


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Writes PATH.png, at 300 dpi, and PATH.pdf, with text as text; a figure drawn twice gives the same bytes.

    Args:
        figure: made under `publication_style`.
        path: without suffix; its folder is created.

    Returns:
        The two files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    png, pdf = (path.with_name(f"{path.name}.{suffix}") for suffix in ("png", "pdf"))
    with publication_style():
        figure.savefig(png, format="png", dpi=DPI)
        # The date is the one thing that would differ from run to run.
        figure.savefig(pdf, format="pdf", dpi=DPI, metadata={"CreationDate": None})
    return [png, pdf]


def method_label(name: str) -> str:
    """How a method is called in print, as "Wiener SIM" for "wiener"; a name that is not known stays as it is."""
    return _METHODS[name][0] if name in _METHODS else name


def specimen_label(name: str) -> str:
    """How a specimen is called in print, as "F-actin" for "f_actin"; a name that is not known stays as it is."""
    return _SPECIMENS.get(name, name)


def score_label(name: str) -> str:
    """How a score is called in print, with its unit; a name that is not known stays as it is."""
    return SCORES[name].label if name in SCORES else name


def method_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each method: known ones have their own, others take in turn what is left of the palette."""
    free = [*_OTHER_COLOURS, *(colour for name, (_, colour) in _METHODS.items() if name not in names)]
    others = [name for name in dict.fromkeys(names) if name not in _METHODS]
    return {name: _METHODS[name][1] if name in _METHODS else free[others.index(name) % len(free)] for name in names}


def grey_limits(image: np.ndarray) -> tuple[float, float]:
    """What is drawn black and white: the minimum and the 99.9th percentile of the finite values."""
    finite = image[np.isfinite(image)]
    return (float(finite.min()), float(np.percentile(finite, 99.9))) if finite.size else (0.0, 1.0)


def draw_image(
    axis: Axes,
    image: np.ndarray,
    *,
    pixel_size_nm: float,
    scale_bar: bool = True,
    limits: tuple[float, float] | None = None,
) -> None:
    """A grey image without ticks, from `limits[0]` black to `limits[1]` white (`grey_limits` unless given)."""
    low, high = limits or grey_limits(image)
    axis.imshow(image, cmap="gray", vmin=low, vmax=high)
    hide_ticks(axis)
    if scale_bar:
        draw_scale_bar(axis, (image.shape[0], image.shape[1]), pixel_size_nm=pixel_size_nm)


def hide_ticks(axis: Axes, *, frame: str | None = None) -> None:
    """Takes ticks and spines away, or leaves a frame of a colour."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(frame is not None)
        if frame is not None:
            spine.set(color=frame, linewidth=1.2)


def scale_bar_um(width_um: float) -> float:
    """1, 2 or 5 times a power of ten, the longest that is at most a quarter of a width."""
    quarter = width_um / 4.0
    decade = 10.0 ** np.floor(np.log10(quarter))
    return float(max(step * decade for step in (1, 2, 5) if step * decade <= quarter))


def length_label(length_um: float) -> str:
    """A length with its unit: nm below 1 µm."""
    return f"{length_um:g} µm" if length_um >= 1.0 else f"{1000.0 * length_um:g} nm"


def draw_scale_bar(
    axis: Axes, shape: tuple[int, int], *, pixel_size_nm: float, colour: str = "white", backing: str | None = "black"
) -> None:
    """A bar in the lower right corner, with its length above it."""
    length_um = scale_bar_um(shape[1] * pixel_size_nm / 1000.0)
    right, y = shape[1] * (1.0 - _BAR_MARGIN) - 0.5, shape[0] * (1.0 - _BAR_MARGIN) - 0.5
    left = right - length_um * 1000.0 / pixel_size_nm
    (bar,) = axis.plot([left, right], [y, y], color=colour, linewidth=_BAR_PT, solid_capstyle="butt")
    # Ends where the bar ends: a label is often longer than its bar, and centred on it would leave the image.
    label = axis.annotate(
        length_label(length_um),
        (right, y),
        (0.0, _BAR_PT),
        textcoords="offset points",
        color=colour,
        ha="right",
        va="bottom",
    )
    if backing is not None:
        _add_backing(axis, Bbox.union([bar.get_window_extent(), label.get_window_extent()]), colour=backing)


def _add_backing(axis: Axes, extent: Bbox, *, colour: str) -> None:
    """A dark veil under a scale bar: unseen on a dark background, and what makes it legible on a bright one."""
    pad = axis.get_figure(root=True).dpi / 72.0  # type: ignore[union-attr]
    (x0, y0), (x1, y1) = axis.transData.inverted().transform(extent.padded(pad))
    axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, color=colour, alpha=0.6, linewidth=0.0, zorder=1.5))


def finite_or(value: float, text: Callable[[float], str], *, otherwise: str) -> str:
    """A number in words, or what to say where there is none."""
    return text(value) if np.isfinite(value) else otherwise
