"""Writes simulated cells as BioSR lays them out.

```
OUT/F-actin/Cell_001/RawSIMData_level_01.mrc ... RawSIMData_gt.mrc  SIM_gt.mrc  Truth.mrc  Background.mrc  truth.json
OUT/ER/Cell_001/RawSIMData/RawSIMData_level_01.mrc ...  RawGTSIMData/RawGTSIMData_level_01.mrc ...
                GTSIM/GTSIM_level_01.mrc ...  Truth/Truth_level_01.mrc ...  Background.mrc  truth.json
OUT/patches/F-actin/training/00000001/1.tif ... 9.tif  training_gt/00000001.tif  validate/ ...  truth.json
```

`Truth` is the fluorophore density in focus and `Background` the unmodulated light, both float32; they and the JSON are
ours. The raw files hold counts, the targets counts in proportion to the target image. What is in focus in the ER moves
from level to level, so each has its own target. An export that was stopped goes on at the next cell.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from oidn_jax.data.atomic import write_json
from oidn_jax.data.mrc_writer import write_priism
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.simulation.acquisitions import SimulatedAcquisition, simulate_acquisition
from oidn_jax.simulation.export.folder import prepare
from oidn_jax.simulation.export.patches import patch_names, write_patches
from oidn_jax.simulation.export.truth import describe_acquisition, describe_cell, describe_settings
from oidn_jax.simulation.settings import Simulation

_FULL_SCALE = 60000.0
_DRIFT_NM = 150.0  # standard deviation of the movement from level to level
_MOST_COUNTS, _LONGEST_WAVELENGTH_NM = 65535, 32767  # that the files hold


@dataclass(frozen=True)
class Export:
    """What to export.

    Attributes:
        simulation: of the acquisitions.
        out: folder of the data set.
        cells: how many.
        size: side of the raw frames, pixels.
        patches: DL-SR patches cut from each cell, over its levels at random.
        patch: side of a raw patch.
        seed: of the cells; the same gives the same files.
        overwrite: remove an export that is there.

    Raises:
        IllegalValue: for numbers that are not legal.
    """

    simulation: Simulation
    out: Path
    cells: int = 1
    size: int = 502
    patches: int = 16
    patch: int = 128
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self):
        if not 1 <= self.cells <= 999:
            raise IllegalValue("cells", self.cells, "it must be from 1 to 999")
        if self.out == Path():
            raise IllegalValue("out", str(self.out), "give the folder of the data set, which is made if missing")
        saturation = self.simulation.settings.camera.saturation
        if saturation > _MOST_COUNTS:
            raise IllegalValue("simulation.camera.saturation", saturation, f"the files hold at most {_MOST_COUNTS}")
        wavelength_nm = self.simulation.microscope.emission_wavelength_nm
        if wavelength_nm > _LONGEST_WAVELENGTH_NM:
            legal = f"the files hold at most {_LONGEST_WAVELENGTH_NM}"
            raise IllegalValue("microscope.emission_wavelength_nm", wavelength_nm, legal)
        for name in ("patches", "seed"):
            if getattr(self, name) < 0:
                raise IllegalValue(name, getattr(self, name), "it must not be negative")
        for name in ("size", "patch"):
            if getattr(self, name) < 16:
                raise IllegalValue(name, getattr(self, name), "it must be at least 16")
        if self.patches and self.patch > self.size:
            raise IllegalValue("patch", self.patch, f"it must fit the frame, whose `size` is {self.size}")

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the content of every file."""
        numbers = {"cells": self.cells, "size": self.size, "patches": self.patches, "patch": self.patch}
        return {"simulated": True, "seed": self.seed, **numbers, "settings": describe_settings(self.simulation)}

    def split(self, cell: int) -> tuple[str, int]:
        """Split of a cell's patches and the number of its first: the first tenth of the cells is for validation."""
        validation = max(1, self.cells // 10) if self.cells > 1 else 0
        if cell <= validation:
            return "validate", (cell - 1) * self.patches + 1
        return "training", (cell - validation - 1) * self.patches + 1


class _Bright(NamedTuple):
    """What is needed of a bright acquisition after it has been written."""

    target: np.ndarray
    target_counts_per_unit: float
    photons_per_unit: float
    background: np.ndarray


def export_cells(export: Export, *, say: Callable[[str], None] = print) -> Iterator[Path]:
    """Writes the cells one by one and gives the folder of each, as soon as it is complete.

    Raises:
        InputError: if the folder holds something else or cannot be written, or a cell has no contrast.
    """
    specimen_folder = export.simulation.specimen.folder
    root, patches_root = export.out / specimen_folder, export.out / "patches" / specimen_folder
    prepare((root, patches_root), export.identity, overwrite=export.overwrite)
    settings = export.simulation.settings
    levels = (*settings.mean_photons, max(settings.target_photons, settings.mean_photons[-1]))
    bright = replace(export.simulation, settings=replace(settings, mean_photons=levels))
    simulate = jax.jit(partial(simulate_acquisition, simulation=bright, size=(export.size, export.size)))
    patches: dict[str, Any] = {}
    for cell in range(1, export.cells + 1):
        folder = root / f"Cell_{cell:03d}"
        done = folder / "truth.json"
        if done.is_file():
            say(f"{folder}: complete")
        else:
            truth, images = _write_cell(export, folder, simulate, jax.random.fold_in(jax.random.key(export.seed), cell))
            if export.patches:
                truth["patches"] = _cut(export, patches_root, images, cell=cell)
            write_json(done, truth)
            say(f"{folder}: {len(images)} levels, {export.patches} {export.split(cell)[0]} patches")
        patches |= patch_names(done, cell=folder.name)
        yield folder
    if export.patches:
        write_json(patches_root / "truth.json", {"simulated": True, "patches": patches})


def _cut(export: Export, root: Path, images: list, *, cell: int) -> list[dict[str, Any]]:
    try:
        return write_patches(
            root,
            images,
            np.random.default_rng((export.seed, cell)),
            names=export.split(cell),
            count=export.patches,
            patch=export.patch,
            scale=export.simulation.microscope.scale,
            pixel_size_nm=export.simulation.microscope.pixel_size_nm,
        )
    except InputError as error:
        raise InputError(f"cell {cell}: {error}; `patches` 0 exports cells alone") from error


def _drifts(export: Export, key: jax.Array) -> np.ndarray:
    """Where the sample is at each level, in whole fine pixels from the first, at most half the margin away."""
    settings, microscope = export.simulation.settings, export.simulation.microscope
    count = len(settings.mean_photons)
    if not export.simulation.specimen.moves:
        return np.zeros((count, 2), int)
    steps = _DRIFT_NM / microscope.fine_pixel_size_nm * jax.random.normal(key, (count, 2))
    drifts = np.rint(np.cumsum(np.asarray(steps), axis=0)).astype(int)
    reach = microscope.scale * settings.margin // 2
    return np.clip(drifts - drifts[0], -reach, reach)


def _write_cell(export: Export, folder: Path, simulate: Any, key: jax.Array) -> tuple[dict[str, Any], list]:
    """All MRC files of a cell; gives what is known of it, and raw frames and target of each level."""
    simulation, mean_photons = export.simulation, export.simulation.settings.mean_photons
    moves = simulation.specimen.moves
    scene_key, drift_key = jax.random.split(key)
    truth, levels, brights = describe_cell(simulation, size=export.size, seed=export.seed), [], []
    for number, drift in enumerate(_drifts(export, drift_key), start=1):
        acquisition = jax.device_get(simulate(scene_key, number - 1, drift=jnp.asarray(drift)))
        if not brights or moves:
            brightest = simulate(scene_key, len(mean_photons), drift=jnp.asarray(drift))
            brights.append(_write_bright(export, folder, brightest, level=number))
        bright = brights[-1]
        name = f"RawSIMData_level_{number:02d}.mrc"
        raw = _counts(acquisition)
        _write(export, folder / "RawSIMData" / name if moves else folder / name, raw)
        truth["levels"][f"{number:02d}"] = describe_acquisition(acquisition, simulation.microscope) | {
            "mean_photons": mean_photons[number - 1],
            "drift_sr_pixels": drift.tolist(),
            "bright_photons_per_unit": bright.photons_per_unit,
            "target_counts_per_unit": bright.target_counts_per_unit,
        }
        levels.append((raw, bright.target))
    _write(export, folder / "Background.mrc", brights[0].background[None])
    return truth, levels


def _write_bright(export: Export, folder: Path, acquisition: SimulatedAcquisition, *, level: int) -> _Bright:
    """The bright acquisition, the target and the object."""
    if export.simulation.specimen.moves:
        names = ("RawGTSIMData", "GTSIM", "Truth")
        raw_file, target_file, truth_file = (folder / name / f"{name}_level_{level:02d}.mrc" for name in names)
    else:
        raw_file, target_file, truth_file = (folder / f"{name}.mrc" for name in ("RawSIMData_gt", "SIM_gt", "Truth"))
    image = np.maximum(np.asarray(acquisition.target)[..., 0], 0.0)
    scale = float(_FULL_SCALE / image.max()) if image.max() > 0 else 1.0
    target = np.rint(scale * image).astype(np.uint16)
    _write(export, raw_file, _counts(acquisition))
    _write(export, target_file, target[None], fine=True)
    _write(export, truth_file, np.asarray(acquisition.specimen, np.float32)[None], fine=True)
    background = np.asarray(acquisition.background, np.float32)
    return _Bright(target, scale, float(acquisition.photons_per_unit), background)


def _counts(acquisition: SimulatedAcquisition) -> np.ndarray:
    """Raw frames as a camera file holds them, (frames, y, x)."""
    return np.moveaxis(np.asarray(acquisition.raw_frames), -1, 0).astype(np.uint16)


def _write(export: Export, path: Path, sections: np.ndarray, *, fine: bool = False) -> None:
    microscope = export.simulation.microscope
    write_priism(
        path,
        sections,
        pixel_size_nm=microscope.fine_pixel_size_nm if fine else microscope.pixel_size_nm,
        wavelength_nm=round(microscope.emission_wavelength_nm),
        title=f"simulated {export.simulation.specimen.folder}, seed {export.seed}",
        overwrite=True,  # the folder is this export's own
    )
