"""Writes simulated cells as BioSR lays them out.

```
OUT/F-actin/Cell_001/RawSIMData_level_01.mrc ... RawSIMData_gt.mrc  SIM_gt.mrc  Truth.mrc  Background.mrc  truth.json
OUT/ER/Cell_001/RawSIMData/RawSIMData_level_01.mrc ...  RawGTSIMData/RawGTSIMData_level_01.mrc ...
                GTSIM/GTSIM_level_01.mrc ...  Truth/Truth_level_01.mrc ...  Background.mrc  truth.json
OUT/patches/F-actin/training/00000001/1.tif ... 9.tif  training_gt/00000001.tif  validate/ ...  truth.json
```

`Truth` is the fluorophore density in focus and `Background` the unmodulated light, both float32; they and the JSON are
ours. The raw files hold counts, the targets counts in proportion to the target image. In the ER the sample in focus
moves from level to level, so each has its own target. An export that was stopped goes on at the next cell.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from oidn_jax.data.mrc_writer import write_priism
from oidn_jax.errors import InputError
from oidn_jax.simulation.acquisition import Acquisition, simulate_acquisition
from oidn_jax.simulation.export.folder import prepare, write_json
from oidn_jax.simulation.export.patches import patch_names, write_patches
from oidn_jax.simulation.export.truth import describe_acquisition, describe_cell, describe_settings
from oidn_jax.simulation.settings import AcquisitionSettings

FOLDERS = {"f_actin": "F-actin", "microtubules": "Microtubules", "ccps": "CCPs", "er": "ER"}
_FULL_SCALE = 60000.0
_DRIFT_NM = 150.0  # standard deviation of the ER's movement from level to level


@dataclass(frozen=True)
class Export:
    """What to export.

    Attributes:
        settings: of the acquisitions.
        out: folder of the data set.
        cells: how many.
        size: side of the raw frames, pixels.
        patches: DL-SR patches cut from each cell, over its levels at random.
        patch: side of a raw patch.
        seed: of the cells; the same gives the same files.
        overwrite: remove an export that is there.

    Raises:
        InputError: for numbers that are not legal.
    """

    settings: AcquisitionSettings
    out: Path
    cells: int = 1
    size: int = 502
    patches: int = 16
    patch: int = 128
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self):
        """Check the numbers."""
        if self.cells < 1 or self.cells > 999:
            raise InputError(f"--cells is {self.cells}; it must be from 1 to 999")
        if not str(self.out) or str(self.out) == ".":
            raise InputError(f"--out is {str(self.out)!r}; give the folder of the data set, which is made if missing")
        if self.settings.saturation > 65535 or self.settings.emission_wavelength_nm > 32767:
            raise InputError(
                f"config.simulation.saturation is {self.settings.saturation} and emission_wavelength_nm "
                f"{self.settings.emission_wavelength_nm}; the files hold at most 65535 counts and 32767 nm"
            )
        if self.patches < 0 or self.seed < 0:
            raise InputError(f"--patches is {self.patches} and --seed {self.seed}; neither may be negative")
        if self.patch < 16 or self.size < 16 or (self.patches and self.patch > self.size):
            raise InputError(
                f"--size is {self.size} and --patch {self.patch}; both must be at least 16, and a patch fits the frame"
            )

    @property
    def specimen_folder(self) -> str:
        """BioSR's name of the specimen."""
        return FOLDERS[self.settings.specimen]

    @property
    def moves(self) -> bool:
        """Whether the sample moves, so that each level has a target of its own."""
        return self.settings.specimen == "er"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the content of every file."""
        numbers = {"cells": self.cells, "size": self.size, "patches": self.patches, "patch": self.patch}
        return {"simulated": True, "seed": self.seed, **numbers, "settings": describe_settings(self.settings)}

    def split(self, cell: int) -> tuple[str, int]:
        """Split of a cell's patches and the number of its first: the first tenth of the cells is for validation."""
        validation = max(1, self.cells // 10) if self.cells > 1 else 0
        if cell <= validation:
            return "validate", (cell - 1) * self.patches + 1
        return "training", (cell - validation - 1) * self.patches + 1


class _Bright(NamedTuple):
    """What of a bright acquisition is needed after it has been written."""

    target: np.ndarray
    target_counts_per_unit: float
    photons_per_unit: float
    background: np.ndarray


def export_cells(export: Export, *, say: Callable[[str], None] = print) -> Iterator[Path]:
    """Writes the cells one by one and gives the folder of each, as soon as it is complete.

    Raises:
        InputError: if the folder holds something else or cannot be written, or a cell has no contrast.
    """
    root, patches_root = export.out / export.specimen_folder, export.out / "patches" / export.specimen_folder
    prepare((root, patches_root), export.identity, overwrite=export.overwrite)
    settings = export.settings
    levels = (*settings.mean_photons, max(settings.target_photons, settings.mean_photons[-1]))
    bright = replace(settings, mean_photons=levels)
    simulate = jax.jit(partial(simulate_acquisition, settings=bright, size=(export.size, export.size)))
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
            scale=export.settings.scale,
            pixel_size_nm=export.settings.pixel_size_nm,
        )
    except InputError as error:
        raise InputError(f"cell {cell}: {error}; --patches=0 exports cells alone") from error


def _drifts(export: Export, key: jax.Array) -> np.ndarray:
    """Where the sample is at each level, in whole fine pixels from the first, at most half the margin away."""
    settings, count = export.settings, len(export.settings.mean_photons)
    if not export.moves:
        return np.zeros((count, 2), int)
    steps = _DRIFT_NM * settings.scale / settings.pixel_size_nm * jax.random.normal(key, (count, 2))
    drifts = np.rint(np.cumsum(np.asarray(steps), axis=0)).astype(int)
    reach = settings.scale * settings.margin // 2
    return np.clip(drifts - drifts[0], -reach, reach)


def _write_cell(export: Export, folder: Path, simulate: Any, key: jax.Array) -> tuple[dict[str, Any], list]:
    """All MRC files of a cell; gives what is known of it, and raw frames and target of each level."""
    settings, count = export.settings, len(export.settings.mean_photons)
    scene_key, drift_key = jax.random.split(key)
    truth, levels, brights = describe_cell(settings, size=export.size, seed=export.seed), [], []
    for number, drift in enumerate(_drifts(export, drift_key), start=1):
        acquisition = jax.device_get(simulate(scene_key, number - 1, drift=jnp.asarray(drift)))
        if not brights or export.moves:
            brights.append(
                _write_bright(export, folder, simulate(scene_key, count, drift=jnp.asarray(drift)), level=number)
            )
        bright = brights[-1]
        name = f"RawSIMData_level_{number:02d}.mrc"
        raw = _counts(acquisition)
        _write(export, folder / "RawSIMData" / name if export.moves else folder / name, raw)
        truth["levels"][f"{number:02d}"] = describe_acquisition(acquisition, settings) | {
            "mean_photons": settings.mean_photons[number - 1],
            "drift_sr_pixels": drift.tolist(),
            "bright_photons_per_unit": bright.photons_per_unit,
            "target_counts_per_unit": bright.target_counts_per_unit,
        }
        levels.append((raw, bright.target))
    _write(export, folder / "Background.mrc", brights[0].background[None])
    return truth, levels


def _write_bright(export: Export, folder: Path, acquisition: Acquisition, *, level: int) -> _Bright:
    """The bright acquisition, the target and the object."""
    if export.moves:
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


def _counts(acquisition: Acquisition) -> np.ndarray:
    """Raw frames as a camera file holds them, (frames, y, x)."""
    return np.moveaxis(np.asarray(acquisition.raw_frames), -1, 0).astype(np.uint16)


def _write(export: Export, path: Path, sections: np.ndarray, *, fine: bool = False) -> None:
    write_priism(
        path,
        sections,
        pixel_size_nm=export.settings.pixel_size_nm / (export.settings.scale if fine else 1),
        wavelength_nm=round(export.settings.emission_wavelength_nm),
        title=f"simulated {export.specimen_folder}, seed {export.seed}",
        overwrite=True,  # the folder is this export's own
    )
