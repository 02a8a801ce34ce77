"""Images as figures show them: the one contrast stretch, the one scale bar."""

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib
import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, AuxTransformBox, TextArea, VPacker

STRETCH = (0.1, 99.9)

_BAR_WIDTH, _BAR_RIM = 0.22, 0.35  # of the size of the text


@dataclass(frozen=True)
class ImageRow:
    """One acquisition as several methods show it.

    Attributes:
        heading: what it is, as "F-actin, low fluorescence".
        images: (h, w) by label, in the order they are shown; each has a brightness scale of its own.
        reference: the label of the image in which places are chosen, as "Ground truth".
        pixel_size_nm: of the images.
    """

    heading: str
    images: Mapping[str, np.ndarray]
    reference: str
    pixel_size_nm: float


def stretch(values: np.ndarray, *, percentiles: tuple[float, float] = STRETCH) -> tuple[float, float]:
    """What is drawn black and white: two percentiles of the finite values; 0 and 1 where there are none.

    0.1 and 99.9 leave a thousandth of the pixels on either side, so that a hot pixel does not darken an image, nor the
    negative overshoot of a filter brighten it.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, percentiles)
    return float(low), float(high)


def draw_image(
    axes: Axes,
    image: Real[np.ndarray, "h w"],
    *,
    pixel_size_nm: float | None = None,
    limits: tuple[float, float] | None = None,
    percentiles: tuple[float, float] = STRETCH,
    colours: str | Colormap = "gray",
    interpolation: str | None = None,
    extent: tuple[float, float, float, float] | None = None,
) -> AxesImage:
    """An image without ticks, in grey unless told otherwise.

    Args:
        axes: where.
        image: rows downwards.
        pixel_size_nm: of the image, for a scale bar; None draws none.
        limits: values of the first and the last colour, in place of the stretch.
        percentiles: of the stretch.
        colours: a colour map of matplotlib, or its name.
        interpolation: between pixels, one of matplotlib's.
        extent: (left, right, bottom, top) in the units of the axes; pixels unless given.

    Returns:
        What was drawn, for a colour bar.
    """
    low, high = limits or stretch(image, percentiles=percentiles)
    drawn = axes.imshow(image, cmap=colours, vmin=low, vmax=high, interpolation=interpolation, extent=extent)
    hide_ticks(axes)
    if pixel_size_nm is not None:
        draw_scale_bar(axes, width_px=image.shape[1], pixel_size_nm=pixel_size_nm)
    return drawn


def hide_ticks(axes: Axes, *, frame: str | None = None) -> None:
    """Takes ticks and spines away, or leaves a frame of a colour."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
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


def scale_bar_label(*, width_px: int, pixel_size_nm: float) -> str:
    """What is written above the scale bar of an image."""
    return length_label(scale_bar_um(width_px * pixel_size_nm / 1000.0))


def draw_scale_bar(axes: Axes, *, width_px: int, pixel_size_nm: float) -> None:
    """A white bar in the lower right corner of axes that count pixels, with its length above it.

    Both lie on a dark veil, which is unseen on a dark background and makes them legible on a bright one.
    """
    font_pt = float(matplotlib.rcParams["font.size"])
    length_um = scale_bar_um(width_px * pixel_size_nm / 1000.0)
    length_px = length_um * 1000.0 / pixel_size_nm
    bar = AuxTransformBox(axes.transData)
    bar.add_artist(
        Line2D([0.0, length_px], [0.0, 0.0], color="white", linewidth=_BAR_WIDTH * font_pt, solid_capstyle="butt")
    )
    label = TextArea(scale_bar_label(width_px=width_px, pixel_size_nm=pixel_size_nm), textprops={"color": "white"})
    # Ends where the bar ends: a label is often longer than its bar, and centred on it would leave the image.
    both = VPacker(children=[label, bar], align="right", pad=0.0, sep=0.0)
    box = AnchoredOffsetbox("lower right", child=both, pad=0.15, borderpad=_BAR_RIM, frameon=True)
    box.patch.set(facecolor="black", alpha=0.6, linewidth=0.0)
    axes.add_artist(box)
