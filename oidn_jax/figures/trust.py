"""The picture of a trust map: the image, what contradicts it, and how large the residuals are."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Real
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from oidn_jax.figures.images import draw_image, hide_ticks, stretch
from oidn_jax.figures.style import SCREEN_PT, figure_style, save

# Two hues that red-green blindness tells apart.
_MISSING, _INVENTED = "#4CB8FF", "#FF7300"
_LETTERS = 45  # of a line of the title, for each column of panels
_DIVERGING = LinearSegmentedColormap.from_list("judged", [_INVENTED, "#F7F7F7", "#0059BF"])


@dataclass(frozen=True)
class TrustPage:
    """What the raw frames of one time point say about its image.

    Attributes:
        title: of the page.
        image: (h2, w2).
        evidence: (h2, w2), standard normal where image and frames agree; positive where light is missing in the image.
        threshold: the |evidence| beyond which a place is contradicted.
        chi_square: (h2, w2), 1 for noise alone.
        mean_residual: (h, w), of the average frame, in units of its noise.
        residual: (frames, h, w), in units of the noise; 0 at the border, where nothing is said.
        reduced_chi_square: of all residuals.
        error: (h2, w2), the expected absolute error of each pixel, in the unit of the image; None where it is unknown.
        additions: (h2, w2), where not 0, light that a network added to its guide and the frames do not confirm, in
            standard deviations; None of images without a guide.
        pixel_size_nm: of the image; None for no scale bar.
    """

    title: str
    image: Real[np.ndarray, "h2 w2"]
    evidence: Real[np.ndarray, "h2 w2"]
    threshold: float
    chi_square: Real[np.ndarray, "h2 w2"]
    mean_residual: Real[np.ndarray, "h w"]
    residual: Real[np.ndarray, "frames h w"]
    reduced_chi_square: float
    pixel_size_nm: float | None
    error: Real[np.ndarray, "h2 w2"] | None = None
    additions: Real[np.ndarray, "h2 w2"] | None = None


def save_trust(path: Path, page: TrustPage, *, overwrite: bool = False) -> Path:
    """Image, image with marks, evidence, chi-square, average residual, histogram, and what else is known; a PNG.

    Raises:
        InputError: the file exists, or cannot be written.
    """
    height, width = page.image.shape
    with figure_style(SCREEN_PT):
        columns = 3 if page.error is None and page.additions is None else 4
        figure = Figure(figsize=(5 * columns, 10 * max(0.5, min(2.0, height / width)) + 1.0), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(2, columns)
        panels = grid[:, :3].ravel()
        draw_image(panels[0], page.image, pixel_size_nm=page.pixel_size_nm)
        panels[0].set_title("image")
        panels[1].imshow(_marked(page.image, page.evidence, threshold=page.threshold))
        hide_ticks(panels[1])
        panels[1].set_title(
            f"contradicted beyond chance (|evidence| > {page.threshold:.1f})\nblue: missing, orange: not in the data"
        )
        largest = max(2.0 * page.threshold, 1.0)
        for axes, values, limits, colours, title in (
            (
                panels[2],
                page.evidence,
                (-largest, largest),
                _DIVERGING,
                "evidence, standard deviations\n+ light is missing in the image, − not in the data",
            ),
            (panels[3], page.chi_square, (0.0, 3.0), "magma", "reduced chi-square (1: noise alone)"),
            (
                panels[4],
                page.mean_residual,
                (-4.0, 4.0),
                _DIVERGING,
                "residual of the average frame, units of its noise",
            ),
        ):
            figure.colorbar(draw_image(axes, values, limits=limits, colours=colours), ax=axes, shrink=0.8)
            axes.set_title(title)
        _draw_histogram(panels[5], page)
        further = grid[:, 3:].ravel()
        for axes in further:
            axes.axis("off")
        if page.error is not None:
            limits = (0.0, max(stretch(page.error)[1], 1e-12))
            figure.colorbar(
                draw_image(further[0], page.error, limits=limits, colours="magma"), ax=further[0], shrink=0.8
            )
            further[0].set_title("expected absolute error, unit of the image")
        if page.additions is not None:
            further[1].imshow(_marked(page.image, -page.additions, threshold=0.0))
            further[1].set_title("orange: light that the network added\nto its guide and the frames do not confirm")
        figure.suptitle(textwrap.fill(page.title, _LETTERS * columns))
        return save(figure, path, overwrite=overwrite)


def _marked(
    image: Real[np.ndarray, "h w"], evidence: Real[np.ndarray, "h w"], *, threshold: float
) -> Float32[np.ndarray, "h w 3"]:
    """The image as it is drawn, with contradicted places in colour."""
    low, high = stretch(image)
    grey = np.clip((image - low) / max(high - low, 1e-12), 0.0, 1.0)
    picture = np.repeat(grey[..., None], 3, axis=-1).astype(np.float32)
    for contradicted, colour in ((evidence > threshold, _MISSING), (evidence < -threshold, _INVENTED)):
        picture[contradicted] = 0.35 * picture[contradicted] + 0.65 * np.array(to_rgb(colour))
    return picture


def _draw_histogram(axes: Axes, page: TrustPage) -> None:
    """Residuals of all pixels and frames against the standard normal distribution."""
    inside = page.residual[:, page.residual.any(axis=0)]
    bins = np.linspace(-6.0, 6.0, 97)
    density, _ = np.histogram(inside, bins)
    density = density / max(inside.size, 1) / (bins[1] - bins[0])
    axes.stairs(density, bins, fill=True, color="0.7", label="frames")
    axes.plot(bins, np.exp(-(bins**2) / 2) / np.sqrt(2 * np.pi), color="black", label="noise alone")
    axes.set(yscale="log", ylim=(1e-5, 1.0), xlim=(-6, 6))
    axes.set(xlabel="residual / expected noise", ylabel="probability density")
    axes.set_title(f"reduced chi-square {page.reduced_chi_square:.3f}")
    axes.legend()
