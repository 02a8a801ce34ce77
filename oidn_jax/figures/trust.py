"""The picture of a trust map: the image, what contradicts it, and how large the residuals are."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from oidn_jax.classical.consistency import Consistency
from oidn_jax.data.atomic import check_target, write_atomically
from oidn_jax.figures.preview import draw_scale_bar

_CONTRAST_PERCENTILES = (0.1, 99.9)
# Two hues that red-green blindness tells apart.
_MISSING, _INVENTED = (0.30, 0.72, 1.0), (1.0, 0.45, 0.0)
_DIVERGING = LinearSegmentedColormap.from_list("judged", [_INVENTED, (0.97, 0.97, 0.97), (0.0, 0.35, 0.75)])
_PICTURE_BYTES = 3_000_000


def draw_trust(
    path: Path,
    image: Float32[np.ndarray, "h2 w2"],
    found: Consistency,
    *,
    pixel_size_nm: float | None,
    title: str,
    overwrite: bool,
) -> None:
    """Six panels of one time point: image, image with marks, evidence, chi-square, average residual, histogram.

    Args:
        path: the PNG to write.
        image: on the fine grid.
        found: what the raw frames say of it.
        pixel_size_nm: of the raw frames; None for no scale bar.
        title: of the figure.
        overwrite: replace an existing file.
    """
    check_target(path, overwrite=overwrite)
    size = height, width = found.mean_residual.shape[0], found.mean_residual.shape[1]
    figure = Figure(figsize=(15, 10 * max(0.5, min(2.0, height / width)) + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 3).ravel()
    grey = _stretched(image)
    extent = (0, width, height, 0)
    panels[0].imshow(grey, cmap="gray", extent=extent)
    panels[0].set_title("image")
    if pixel_size_nm is not None:
        draw_scale_bar(panels[0], size, pixel_size_nm)
    threshold = float(found.threshold)
    panels[1].imshow(_marked(grey, np.asarray(found.evidence), threshold), extent=extent)
    panels[1].set_title(
        f"contradicted beyond chance (|evidence| > {threshold:.1f})\nblue: missing, orange: not in the data"
    )
    largest = max(2.0 * threshold, 1.0)
    drawn = panels[2].imshow(found.evidence, cmap=_DIVERGING, vmin=-largest, vmax=largest, extent=extent)
    panels[2].set_title("evidence, standard deviations\n+ light is missing in the image, - not in the data")
    figure.colorbar(drawn, ax=panels[2], shrink=0.8)
    drawn = panels[3].imshow(found.chi_square, cmap="magma", vmin=0.0, vmax=3.0, extent=extent)
    panels[3].set_title("reduced chi-square (1: noise alone)")
    figure.colorbar(drawn, ax=panels[3], shrink=0.8)
    drawn = panels[4].imshow(found.mean_residual, cmap=_DIVERGING, vmin=-4, vmax=4, extent=extent)
    panels[4].set_title("residual of the average frame, units of its noise")
    figure.colorbar(drawn, ax=panels[4], shrink=0.8)
    for panel in panels[:5]:
        panel.set_axis_off()
    _draw_histogram(panels[5], found)
    figure.suptitle(title)
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=100), n_bytes=_PICTURE_BYTES)


def _stretched(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, _CONTRAST_PERCENTILES)
    return np.clip((image - low) / max(high - low, 1e-12), 0.0, 1.0)


def _marked(grey: np.ndarray, evidence: np.ndarray, threshold: float) -> np.ndarray:
    """The image in grey with contradicted places in colour."""
    picture = np.repeat(grey[..., None], 3, axis=-1)
    for where, colour in ((evidence > threshold, _MISSING), (evidence < -threshold, _INVENTED)):
        picture[where] = 0.35 * picture[where] + 0.65 * np.array(colour)
    return picture


def _draw_histogram(axes: Axes, found: Consistency) -> None:
    """Residuals of all pixels and frames against the standard normal distribution."""
    inside = found.residual[:, found.residual.any(axis=0)]
    bins = np.linspace(-6.0, 6.0, 97)
    axes.hist(inside.ravel(), bins=bins.tolist(), density=True, color="0.7", label="frames")
    axes.plot(bins, np.exp(-(bins**2) / 2) / np.sqrt(2 * np.pi), color="black", label="noise alone")
    axes.set(
        yscale="log", ylim=(1e-5, 1.0), xlim=(-6, 6), xlabel="residual / expected noise", ylabel="probability density"
    )
    axes.set_title(f"reduced chi-square {float(found.reduced_chi_square):.3f}")
    axes.legend(frameon=False)
