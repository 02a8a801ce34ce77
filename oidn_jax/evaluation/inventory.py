"""What a folder of measured data holds: counted, measured, judged, and drawn on a contact sheet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from oidn_jax.acquisition.camera import CameraSettings, noise_model
from oidn_jax.data.faults import Examined, examine_all, faults_of_pairs, faults_of_set
from oidn_jax.data.measured import open_raw, open_target
from oidn_jax.data.pairs import MeasuredSet, Pair
from oidn_jax.figures.contact_sheet import ContactRow, save_contact_sheet
from oidn_jax.simulation.foreground import biosr_foreground_mean

_MEASURED_CELLS = 5  # whose photons are measured
_SHOWN_ROWS, _SHOWN_LEVELS = 8, 3

T = TypeVar("T")

_foreground = jax.jit(biosr_foreground_mean)


@dataclass(frozen=True)
class PhotonLevels:
    """The light of the levels as the laboratory that recorded BioSR counts it.

    Attributes:
        gain: counts per photo-electron, estimated where the frames are brightest.
        photons: photo-electrons of a frame over the foreground, by level; the median over the cells.
        cells: how many were measured.
    """

    gain: float
    photons: dict[int, float]
    cells: int


@dataclass(frozen=True)
class Inventory:
    """One set of pairs, read.

    Attributes:
        measured: the set.
        examined: every pair.
        faults: what is broken, one line each.
        photons: the light of its levels; None where no level is known, or the frames do not show their gain.
    """

    measured: MeasuredSet
    examined: tuple[Examined, ...]
    faults: tuple[str, ...]
    photons: PhotonLevels | None

    @property
    def broken(self) -> bool:
        """Whether anything is missing or wrong."""
        return bool(self.faults or self.measured.missing)

    @property
    def good(self) -> list[Examined]:
        """Pairs that can be read."""
        return [each for each in self.examined if not each.faults]


def take_inventory(
    measured: MeasuredSet, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Inventory:
    """Reads every file of a set; `progress` is called with how many pairs are done and of all."""
    examined = examine_all(measured.pairs, measured.recording, progress=progress)
    faults = dict.fromkeys(fault.line for fault in (*faults_of_pairs(examined), *faults_of_set(measured, examined)))
    good = [each for each in examined if not each.faults]
    return Inventory(measured, tuple(examined), tuple(faults), measure_photons(measured, good))


def measure_photons(measured: MeasuredSet, examined: Sequence[Examined]) -> PhotonLevels | None:
    """The light of the levels, of a few cells that are evenly chosen.

    The gain is that of the brightest level, where the noise shows it best; the offset is each acquisition's own.
    """
    usable = {(each.pair.cell, each.pair.level): each.pair for each in examined if each.pair.level}
    if not usable:
        return None
    cells, brightest = sorted({cell for cell, _ in usable}), max(level for _, level in usable)
    cells = _some([cell for cell in cells if (cell, brightest) in usable], _MEASURED_CELLS)
    noises = {place: _noise(usable[place], measured) for place in usable if place[0] in cells}
    gains = [gain for (_, level), (gain, _) in noises.items() if level == brightest and gain > 0]
    if not gains:
        return None
    gain = float(np.median(gains))
    photons = {}
    for level in measured.levels:
        light = [
            float(_foreground(jnp.asarray(_mean_frame(usable[place], measured) - offset, jnp.float32)))
            for place, (_, offset) in noises.items()
            if place[1] == level
        ]
        if light:
            photons[level] = float(np.median(light)) / gain
    return PhotonLevels(gain, photons, len(cells))


def _noise(pair: Pair, measured: MeasuredSet) -> tuple[float, float]:
    """Gain and offset of an acquisition, means of its orientations."""
    stack = open_raw(pair, measured.recording)
    frames = stack.read(0)
    ceiling = float(np.iinfo(frames.dtype).max) if frames.dtype.kind in "ui" else None
    noise = noise_model(
        frames, CameraSettings(), orientations=measured.recording.orientations, ceiling=ceiling, source=pair.raw
    )
    return float(np.mean(noise.gain)), float(np.mean(noise.offset))


def _mean_frame(pair: Pair, measured: MeasuredSet) -> np.ndarray:
    return open_raw(pair, measured.recording).read(0).mean(0, dtype=np.float32)


def _some(items: Sequence[T], most: int) -> list[T]:
    """At most so many, evenly chosen."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def describe(inventory: Inventory) -> list[str]:
    """Lines for people: what there is, what is missing, what is broken."""
    measured, good = inventory.measured, inventory.good
    lines = [measured.describe()]
    sizes = sorted({each.size for each in good if each.size})
    nm = sorted({each.pixel_size_nm for each in good if each.pixel_size_nm is not None})
    if sizes:
        recording = measured.recording
        words = " and ".join(f"{y} x {x}" for y, x in sizes)
        pixel = "pixel size unknown" if not nm else f"{' and '.join(f'{size:.4g}' for size in nm)} nm per pixel"
        frames = f"{recording.frames} frames ({recording.orientations} orientations x {recording.phases} phases)"
        targets = f", targets {recording.scale} times as large" if measured.has_targets else ""
        lines.append(f"  raw: {frames} of {words} pixels, {pixel}{targets}")
    if inventory.photons is not None:
        photons = inventory.photons
        levels = ", ".join(f"{level:02d}: {value:.3g}" for level, value in photons.photons.items())
        of_cells = f"{photons.cells} cell{'s' * (photons.cells > 1)}, " if measured.cells else ""
        lines.append(
            f"  photo-electrons of a frame over the foreground, as BioSR counts them ({of_cells}"
            f"{photons.gain:.3g} counts each): {levels}"
        )
    elif measured.levels and good:
        lines.append("  photo-electrons: unknown, the noise of the frames does not show the gain of the camera")
    lines += [f"  {line}" for line in dict.fromkeys(_remarks(good))]
    lines += [f"  missing: {line}" for line in measured.missing]
    lines += [f"  broken: {line}" for line in inventory.faults]
    if not inventory.broken:
        lines.append(f"  nothing is missing or broken: {len(inventory.examined)} acquisitions were read")
    return lines


def _remarks(good: Sequence[Examined]) -> list[str]:
    return [f"{each.pair.name}: {line}" for each in good for line in each.remarks]


def draw_contact_sheet(inventory: Inventory, path: Path) -> list[Path]:
    """Some cells at the weakest, a middle and the brightest level and their targets, or some patches.

    Args:
        inventory: of the set.
        path: of the files, without suffix.

    Returns:
        The files; none where nothing can be read.
    """
    rows = _rows(inventory)
    if not rows:
        return []
    return save_contact_sheet(path, rows, title=inventory.measured.describe())


def _rows(inventory: Inventory) -> list[ContactRow]:
    measured = inventory.measured
    cells: dict[str, list[Examined]] = {}
    for each in inventory.good:
        name = each.pair.raw.parent.name if measured.cells else measured.name if measured.levels else each.pair.name
        cells.setdefault(name if not measured.cells else f"cell {each.pair.cell}", []).append(each)
    rows = []
    for name in _some(list(cells), _SHOWN_ROWS):
        images, pixels = {}, {}
        shown = _some(sorted(cells[name], key=lambda each: each.pair.level), _SHOWN_LEVELS)
        for each in shown:
            label = f"level {each.pair.level:02d}" if each.pair.level else "raw frames, mean"
            images[label], pixels[label] = _mean_frame(each.pair, measured), each.pixel_size_nm
        if shown[-1].pair.target is not None:
            nm = shown[-1].pixel_size_nm
            images["target"] = open_target(shown[-1].pair).read(0)[0]
            pixels["target"] = None if nm is None else nm / measured.recording.scale
        rows.append(ContactRow(name, images, pixels))
    return rows
