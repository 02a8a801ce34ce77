"""Writes simulated cells as BioSR lays them out.

```
OUT/F-actin/Cell_001/RawSIMData_level_01.mrc ... RawSIMData_gt.mrc  SIM_gt.mrc  Truth.mrc  truth.json
OUT/ER/Cell_001/RawSIMData/RawSIMData_level_01.mrc ...  RawGTSIMData/RawGTSIMData_level_01.mrc ...
                GTSIM/GTSIM_level_01.mrc ...  Truth/Truth_level_01.mrc ...  truth.json
OUT/patches/F-actin/training/00000001/1.tif ... 9.tif  training_gt/00000001.tif  validate/ ...
```

`Truth` is the fluorophore density in focus, float32; it and `truth.json` are ours. The raw files hold counts, the
targets counts in proportion to the target image. In the ER the sample moves from level to level, so each has its own
target.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from oidn_jax.data.errors import InputError
from oidn_jax.data.mrc_writer import write_priism
from oidn_jax.data.patch_folder import cut_patches, write_patch_pair
from oidn_jax.simulation.acquisition import Acquisition, simulate_acquisition
from oidn_jax.simulation.export.truth import describe_acquisition, describe_cell
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
        overwrite: replace files.

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


def export_cells(export: Export, *, say: Callable[[str], None] = print) -> Iterator[Path]:
    """Writes the cells one by one and gives the folder of each, as soon as it is complete.

    Raises:
        InputError: if the folder holds this specimen already (without `overwrite`) or cannot be written.
    """
    root = export.out / export.specimen_folder
    patches_root = export.out / "patches" / export.specimen_folder
    for folder in (root, patches_root):
        if folder.exists() and any(folder.iterdir()) and not export.overwrite:
            raise InputError(f"{folder} holds data already; give --overwrite to replace it, or another --out")
    settings = export.settings
    bright = replace(
        settings, mean_photons=(*settings.mean_photons, max(settings.target_photons, settings.mean_photons[-1]))
    )
    simulate = jax.jit(partial(simulate_acquisition, settings=bright, size=(export.size, export.size)))
    generator = np.random.default_rng(export.seed)
    validation = max(1, export.cells // 10) if export.cells > 1 else 0
    written = {"training": 0, "validate": 0}
    for cell in range(1, export.cells + 1):
        folder = root / f"Cell_{cell:03d}"
        levels = _write_cell(export, folder, simulate, jax.random.fold_in(jax.random.key(export.seed), cell))
        split = "validate" if cell <= validation else "training"
        written[split] += _write_patches(export, patches_root, levels, generator, split=split, first=written[split] + 1)
        say(f"{folder}: {len(levels)} levels, {export.patches} {split} patches")
        yield folder


def _write_cell(export: Export, folder: Path, simulate: Any, key: jax.Array) -> list[tuple[np.ndarray, np.ndarray]]:
    """All files of a cell; gives the raw frames and the target of every level."""
    settings, count = export.settings, len(export.settings.mean_photons)
    scene_key, drift_key = jax.random.split(key)
    drifts = np.zeros((count, 2), int)
    if export.moves:
        fine = _DRIFT_NM * settings.scale / settings.pixel_size_nm
        drifts = np.rint(fine * np.cumsum(jax.random.normal(drift_key, (count, 2)), axis=0)).astype(int)
        drifts -= drifts[0]
    truth, levels = describe_cell(settings, size=export.size, seed=export.seed), []
    bright, scale = None, 1.0
    for level in range(count):
        drift = jnp.asarray(drifts[level])
        acquisition = jax.device_get(simulate(scene_key, level, drift=drift))
        if bright is None or export.moves:
            bright = jax.device_get(simulate(scene_key, count, drift=drift))
            scale = _write_bright(export, folder, bright, level=level + 1)
        raw = _counts(acquisition)
        name = f"RawSIMData_level_{level + 1:02d}.mrc"
        _write(export, folder / "RawSIMData" / name if export.moves else folder / name, raw)
        known = describe_acquisition(acquisition.illumination, settings)
        known |= {"mean_photons": settings.mean_photons[level], "drift_sr_pixels": drifts[level].tolist()}
        truth["levels"][f"{level + 1:02d}"] = known | {"target_counts_per_unit": scale}
        levels.append((raw, np.rint(scale * np.maximum(bright.target[..., 0], 0.0)).astype(np.uint16)))
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return levels


def _write_bright(export: Export, folder: Path, bright: Acquisition, *, level: int) -> float:
    """The bright acquisition, the target and the object; gives the target's counts per unit."""
    if export.moves:
        names = ("RawGTSIMData", "GTSIM", "Truth")
        raw_file, target_file, truth_file = (folder / name / f"{name}_level_{level:02d}.mrc" for name in names)
    else:
        raw_file, target_file, truth_file = (folder / f"{name}.mrc" for name in ("RawSIMData_gt", "SIM_gt", "Truth"))
    target = np.maximum(bright.target[..., 0], 0.0)
    scale = float(_FULL_SCALE / target.max()) if target.max() > 0 else 1.0
    _write(export, raw_file, _counts(bright))
    _write(export, target_file, np.rint(scale * target).astype(np.uint16)[None], fine=True)
    _write(export, truth_file, np.asarray(bright.specimen, np.float32)[None], fine=True)
    return scale


def _counts(acquisition: Acquisition) -> np.ndarray:
    """Raw frames as a camera file holds them, (frames, y, x)."""
    return np.moveaxis(np.clip(acquisition.raw_frames, 0, 65535), -1, 0).astype(np.uint16)


def _write(export: Export, path: Path, sections: np.ndarray, *, fine: bool = False) -> None:
    write_priism(
        path,
        sections,
        pixel_size_nm=export.settings.pixel_size_nm / (export.settings.scale if fine else 1),
        wavelength_nm=round(export.settings.emission_wavelength_nm),
        title=f"simulated {export.specimen_folder}, seed {export.seed}",
        overwrite=export.overwrite,
    )


def _write_patches(
    export: Export, root: Path, levels: list, generator: np.random.Generator, *, split: str, first: int
) -> int:
    """Patches of a cell, each from a random level; gives how many."""
    chosen = generator.integers(len(levels), size=export.patches)
    index = first
    for level, (raw, target) in enumerate(levels):
        count = int(np.sum(chosen == level))
        if not count:
            continue
        options = {"count": count, "patch": export.patch, "scale": export.settings.scale}
        for raw_patch, target_patch in cut_patches(generator, raw, target, **options):
            write_patch_pair(
                root,
                raw_patch,
                target_patch,
                split=split,
                index=index,
                pixel_size_nm=export.settings.pixel_size_nm,
                overwrite=export.overwrite,
            )
            index += 1
    return index - first
