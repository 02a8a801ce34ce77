"""What a raw SIM file says of itself: stripes, camera gain, light, brightness of the frames, bleaching.

Contract: nothing about the microscope needs to be known, neither its optics nor its camera. A number the pixels do not
support is None and "unknown" in the text. All is judged at the first time point, but saturation and bleaching over
all; stripes, gain and offset in the central 1024 x 1024 pixels, which are enough to be precise; the rest everywhere.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real

from oidn_jax.acquisition.acquisition import Acquisition
from oidn_jax.acquisition.camera import CameraSettings, common_offset
from oidn_jax.acquisition.camera_maps import CameraMaps
from oidn_jax.acquisition.checks import central
from oidn_jax.acquisition.lit_field import LitField
from oidn_jax.acquisition.photon_transfer import (
    READ_NOISE_ELECTRONS,
    PhotonTransfer,
    fit_photon_transfer,
    noise_curve,
    smoothed,
)
from oidn_jax.acquisition.time_stamp import unstamped
from oidn_jax.classical.estimation import harmonics_apart
from oidn_jax.data.raw_stack import RawStack
from oidn_jax.optics.microscope import Microscope

# Two standard errors of <|F_1|^2> - noise, in units of noise / sqrt(pixels); from simulated noise of 3 and 5 phases.
_HARMONIC_ERROR = 4.5

_JUDGED_SIDE = 1024
_LEAST_CONTRAST = 0.02
_FEWEST_ELECTRONS = 5.0
_MOST_JITTER_PERCENT = 5.0
_MOST_BLEACHING_PERCENT = 1.0

_ROWS = (
    ("contrast of the stripes", "contrast", ".3f"),
    ("  of their second harmonic", "second_contrast", ".3f"),
    ("  smallest that shows", "contrast_limit", ".3f"),
    ("MCNR (noise alone, 3 phases: 2.05)", "mcnr", ".2f"),
    ("gain, counts per photo-electron", "gain_counts_per_electron", ".4g"),
    ("offset, counts", "offset_counts", ".5g"),
    ("photo-electrons per pixel, structures", "electrons_structures", ".3g"),
    ("photo-electrons per pixel, whole frame", "electrons_frame", ".3g"),
    ("brightness, % of all orientations", "brightness_percent", ".1f"),
)


@dataclass(frozen=True)
class OrientationReport:
    """One illumination direction; None is unknown.

    Attributes:
        contrast: modulation of the stripes in the image, 0 to 1, over the structures: the illumination's own weakened
            by the optics. Movement between the frames looks like it.
        second_contrast: the same of the second harmonic of the phases, the fine pattern of three beams; None with fewer
            than 5 phases, or an even number, which do not tell it.
        contrast_limit: a smaller contrast than this cannot be told from none (two standard errors of the noise).
        mcnr: modulation contrast to noise ratio (SIMcheck) over the structures. Noise alone gives 3.545 / sqrt(phases).
        gain_counts_per_electron: camera gain, times any factor the counts were multiplied by later.
        offset_counts: counts without light. It cannot be told from an even background: this is the level where the
            noise has fallen to a read noise of 1.6 electrons or, if that is lower or the gain is unknown, the darkest
            percent of the image. A larger read noise makes it too low, by read_noise^2 - 2.6 electrons at worst.
        electrons_structures: mean photo-electrons per pixel and frame over the structures, background included.
        electrons_frame: the same over the whole frame.
        brightness_percent: light of the orientation relative to the mean of all.
        frame_brightness_percent: light of each frame relative to the mean of its orientation.
    """

    contrast: float | None
    second_contrast: float | None
    contrast_limit: float | None
    mcnr: float | None
    gain_counts_per_electron: float | None
    offset_counts: float | None
    electrons_structures: float | None
    electrons_frame: float | None
    brightness_percent: float | None
    frame_brightness_percent: tuple[float | None, ...]


@dataclass(frozen=True)
class RawReport:
    """A raw acquisition; None is unknown.

    Attributes:
        orientations: one report per illumination direction.
        structures_percent: pixels taken for structures, on which contrast and light are judged.
        saturated_percent: pixels at full scale, over all time points; 0 for floats, which have none.
        bleaching_percent_per_frame: light lost from one exposure to the next; negative is a gain.
        bleaching_percent_per_time: light lost from one time point to the next; None for a single one.
        camera_maps: where the maps of the camera's pixels are from that were used, by their names.
        warnings: those of the reader and of `Acquisition.pixel_doubts`, then this file's, one line each.
    """

    orientations: tuple[OrientationReport, ...]
    structures_percent: float
    saturated_percent: float
    bleaching_percent_per_frame: float | None
    bleaching_percent_per_time: float | None
    camera_maps: dict[str, str]
    warnings: tuple[str, ...]


def describe_raw(
    stack: RawStack, *, orientations: int = 3, phases: int = 3, camera: CameraSettings | None = None
) -> RawReport:
    """Judges a raw acquisition from its pixels alone.

    Light is frame mean minus offset. Bleaching is 1 - exp(slope) of log light = level + slope * exposure with a level
    for each orientation and time point, since orientations may have been scaled differently; over time likewise, with
    a level for each frame.

    Args:
        stack: the raw stack, orientation slow and phase fast.
        orientations: number of illumination directions.
        phases: number of phases per direction; with fewer than 3 there is no contrast to tell.
        camera: what is known of it. With maps of its pixels all but saturation is of the frames that these even, and
            gain and offset are the maps' own.

    Returns:
        The report.

    Raises:
        InputError: what `check_pixels` refuses; maps that are none of these frames.
        ValueError: the stack does not have orientations * phases frames.
    """
    stack, camera = unstamped(stack), camera or CameraSettings()
    maps = camera.maps((stack.shape[2], stack.shape[3]), bottom_first=stack.images.bottom_first, source=stack.source)
    # The usual optics are good enough to find stripes, which is all that is asked of them.
    acquisition = Acquisition(stack, Microscope(orientations=orientations, phases=phases), camera=camera)
    survey = acquisition.frames.survey
    warnings = [*stack.images.remarks, *acquisition.pixel_doubts()]
    whole, ceiling = stack.read(0), survey.full_scale
    offset = None
    if maps.needs_offset:
        offset = common_offset(whole, camera, orientations=orientations, ceiling=ceiling, source=stack.source)
    if ceiling is not None:
        ceiling = float(maps.even(np.full((1, *stack.shape[2:]), ceiling), offset=offset).min())
    whole = maps.even(whole, offset=offset)
    inner = acquisition.inner
    means = survey.means
    if inner.has_rim:
        only = "are lit" if inner == acquisition.lit else "are the largest rectangle of lit pixels"
        warnings.append(f"only {inner} (counted from 0) {only}; the rim is left out of all numbers")
        means = _means_of_lit(means, whole, inner)
    first = central(inner.of(whole), _JUDGED_SIDE).astype(np.float64)
    first = first.reshape(orientations, phases, *first.shape[1:])
    structures = _structures(smoothed(first.mean(axis=(0, 1))))
    transfers = [_with_maps(fit_photon_transfer(frames, ceiling), maps) for frames in first]
    means = means.reshape(-1, orientations, phases)
    light = means - np.array([transfer.offset or 0.0 for transfer in transfers])[:, None]
    own, lit = light[0].mean(axis=1), bool((light[0] > 0).all())
    brightness = (100 * own / own.mean()).tolist() if lit else [None] * orientations
    reports = tuple(
        _describe_orientation(first[i], transfers[i], structures, light=light[0, i], brightness=brightness[i])
        for i in range(orientations)
    )
    per_frame, frame_error = _loss_percent(light, axis=2)
    per_time, time_error = _loss_percent(light, axis=0)
    warnings += [f"orientation {i}: {line}" for i, r in enumerate(reports, start=1) for line in _doubts(r)]
    for loss, error, unit in ((per_frame, frame_error, "frame"), (per_time, time_error, "time point")):
        # Frames of uneven brightness look like bleaching as far as their scatter allows.
        if loss is not None and loss > _MOST_BLEACHING_PERCENT + 2 * error:
            warnings.append(f"bleaching of {loss:.1f} % per {unit}; record with less light")
    return RawReport(
        orientations=reports,
        structures_percent=float(100 * structures.mean()),
        saturated_percent=100 * survey.saturated,
        bleaching_percent_per_frame=per_frame,
        bleaching_percent_per_time=per_time,
        camera_maps=camera.describe_maps(),
        warnings=tuple(warnings),
    )


def _means_of_lit(
    means: Float[np.ndarray, "time frames"], first: Real[np.ndarray, "frames h w"], lit: LitField
) -> Float[np.ndarray, "time frames"]:
    """Means over the lit part of frames, from those over the whole: a rim is the same at all time points."""
    pixels, own = math.prod(lit.size), math.prod(lit.lit_size)
    rim = first.sum((1, 2), dtype=np.float64) - lit.of(first).sum((1, 2), dtype=np.float64)
    return (pixels * means - rim) / own


def _with_maps(fitted: PhotonTransfer, maps: CameraMaps) -> PhotonTransfer:
    """The photon transfer line with what the maps know of it."""
    gain = fitted.gain if maps.gain is None else maps.typical_gain
    offset = fitted.offset if maps.offset is None else maps.typical_offset
    if gain is None or offset is None:
        return fitted._replace(offset=offset)
    dark = fitted.intercept + fitted.gain * offset if fitted.gain is not None else (READ_NOISE_ELECTRONS * gain) ** 2
    if maps.even_variance is not None:
        dark = float(np.median(maps.even_variance))
    return PhotonTransfer(gain, dark - gain * offset, offset)


def format_lines(report: RawReport) -> list[str]:
    """Writes a report as lines of text: a table with a column for each orientation, then the whole, then warnings."""
    columns = report.orientations
    rows = [("", *(f"orientation {i + 1}" for i in range(len(columns))))]
    second = 2 in harmonics_apart(len(columns[0].frame_brightness_percent))
    rows += [
        (label, *(_text(getattr(column, name), form) for column in columns))
        for label, name, form in _ROWS
        if name != "second_contrast" or second
    ]
    for n in range(len(columns[0].frame_brightness_percent)):
        frame = (_text(column.frame_brightness_percent[n], ".1f") for column in columns)
        rows.append((f"  frame {n + 1}, % of its orientation", *frame))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    lines += [
        f"structures: {report.structures_percent:.1f} % of the pixels",
        f"saturated: {report.saturated_percent:.2g} % of the pixels",
        f"bleaching: {_text(report.bleaching_percent_per_frame, '.2f', ' %')} per frame",
    ]
    if report.bleaching_percent_per_time is not None:
        lines.append(f"bleaching: {report.bleaching_percent_per_time:.2f} % per time point")
    if report.camera_maps:
        lines.append(f"camera maps: {', '.join(f'{name} {place}' for name, place in report.camera_maps.items())}")
    return lines + [f"warning: {warning}" for warning in report.warnings]


def _text(value: float | None, form: str, unit: str = "") -> str:
    return "unknown" if value is None else f"{value:{form}}{unit}"


def _describe_orientation(
    frames: Float[np.ndarray, "phases y x"],
    transfer: PhotonTransfer,
    structures: Bool[np.ndarray, "y-4 x-4"],
    *,
    light: Float[np.ndarray, " phases"],
    brightness: float | None,
) -> OrientationReport:
    contrast, second_contrast, contrast_limit, mcnr = _stripes(frames, transfer, structures, light=light)
    in_structures, in_frame = None, None
    if transfer.gain is not None and transfer.offset is not None:
        inside = frames[:, 2:-2, 2:-2][:, structures].mean()
        in_structures, in_frame = float(inside - transfer.offset) / transfer.gain, float(light.mean()) / transfer.gain
    return OrientationReport(
        contrast=contrast,
        second_contrast=second_contrast,
        contrast_limit=contrast_limit,
        mcnr=mcnr,
        gain_counts_per_electron=transfer.gain,
        offset_counts=transfer.offset,
        electrons_structures=in_structures,
        electrons_frame=in_frame,
        brightness_percent=brightness,
        frame_brightness_percent=(
            tuple((100 * light / light.mean()).tolist()) if (light > 0).all() else (None,) * len(light)
        ),
    )


def _stripes(
    frames: Float[np.ndarray, "phases y x"],
    transfer: PhotonTransfer,
    structures: Bool[np.ndarray, "y-4 x-4"],
    *,
    light: Float[np.ndarray, " phases"],
) -> tuple[float | None, float | None, float | None, float | None]:
    """Measures contrast, that of the second harmonic, their limit, and MCNR over the structures.

    With F_j = (1/N) sum_n D_n exp(-2 pi i j n / N) of the N frames, offset subtracted and made equally bright (else
    jitter looks like stripes), and sigma^2 the noise variance of a frame,

        contrast = 2 sqrt((<|F_1|^2> - sigma^2/N) / (<F_0^2> - sigma^2/N)),

    a ratio of root mean squares, so that a specimen of uneven brightness does not bias it, and likewise F_2;
    MCNR = <4 |F_1| / sqrt(gain F_0 + read_noise^2)>, which is 4 |F_1| / sqrt(F_0) in photo-electrons.
    """
    phases = len(frames)
    if phases < 3 or transfer.offset is None or (light <= 0).any():
        return None, None, None, None
    even = (frames - transfer.offset) * (light.mean() / light)[:, None, None]
    noise = noise_curve(even, structures)[1].mean() / phases
    inside = even[:, 2:-2, 2:-2][:, structures]
    mean = inside.mean(axis=0)
    power = (mean**2).mean() - noise
    if power <= 0:
        return None, None, None, None

    def modulus(number: int) -> Float[np.ndarray, " n"]:
        return np.abs(np.tensordot(np.exp(-2j * np.pi * number * np.arange(phases) / phases), inside, 1)) / phases

    def contrast_of(harmonic: Float[np.ndarray, " n"]) -> float:
        return float(2 * np.sqrt(max((harmonic**2).mean() - noise, 0) / power))

    harmonic = modulus(1)
    contrast, second = contrast_of(harmonic), contrast_of(modulus(2)) if 2 in harmonics_apart(phases) else None
    limit = 2 * np.sqrt(_HARMONIC_ERROR * noise / np.sqrt(mean.size) / power)
    if transfer.gain is None:
        return contrast, second, float(limit), None
    variance = transfer.gain * (mean + transfer.offset) + transfer.intercept
    # Less than one electron of noise is a pixel that happens to be dark.
    mcnr = (4 * harmonic / np.sqrt(np.maximum(variance, transfer.gain**2))).mean()
    return contrast, second, float(limit), float(mcnr)


def _structures(image: Float[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Finds the brighter of two classes with the largest variance between them (Otsu 1979)."""
    # A hot pixel would leave all the rest in one class.
    values = np.sort(np.clip(image, *np.percentile(image, (0.1, 99.9))), axis=None)
    below = np.arange(1, values.size)
    sums = np.cumsum(values)
    between = (sums[-1] * below / values.size - sums[:-1]) ** 2 / (below * (values.size - below))
    best = int(between.argmax())
    return image > values[best] if values[best] < image.max() else np.ones(image.shape, bool)


def _loss_percent(light: Float[np.ndarray, "time orientations phases"], *, axis: int) -> tuple[float | None, float]:
    """Fits the loss per step along an axis, with one level for each line along it: percent, and standard error."""
    steps = light.shape[axis]
    if steps < 2 or (light <= 0).any():
        return None, 0.0
    logs = np.moveaxis(np.log(light), axis, -1).reshape(-1, steps)
    deviation = logs - logs.mean(axis=1, keepdims=True)
    x = np.arange(steps) - (steps - 1) / 2
    spread = len(logs) * (x**2).sum()
    slope = (x * deviation).sum() / spread
    freedom = len(logs) * (steps - 1) - 1
    error = np.sqrt(((deviation - slope * x) ** 2).sum() / freedom / spread) if freedom else np.inf
    return float(100 * (1 - np.exp(slope))), float(100 * error)


def _doubts(report: OrientationReport) -> list[str]:
    lines = []
    contrast, limit = report.contrast, report.contrast_limit
    if contrast is not None and report.second_contrast is not None:
        contrast = max(contrast, report.second_contrast)
    if contrast is not None and limit is not None and contrast < max(_LEAST_CONTRAST, limit):
        lines.append(
            f"the stripes have a contrast of {contrast:.3f}, where noise alone has up to {limit:.3f}: expected of the "
            "finest stripes in little light; of others, check the modulation and the frame order"
        )
    if report.electrons_structures is not None and report.electrons_structures < _FEWEST_ELECTRONS:
        lines.append(
            f"{report.electrons_structures:.1f} photo-electrons per pixel in the structures; record with more light or "
            "a longer exposure"
        )
    jitter = max(abs(percent - 100) if percent else 0.0 for percent in report.frame_brightness_percent)
    if jitter > _MOST_JITTER_PERCENT:
        lines.append(f"the frames differ in brightness by up to {jitter:.1f} % from their mean; check the light source")
    return lines
