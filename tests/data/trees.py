"""Small trees of measured data: BioSR's layouts and DL-SR's, of a field of spots whose counts are known."""

from pathlib import Path

import numpy as np
import tifffile

from oidn_jax.data import write_priism, write_raw_tiff

SIZE = 32
GAIN, OFFSET = 2.0, 100.0


def field(cell, *, size=SIZE, scale=2):
    """A target in 0 to 1, spots at places of its own for each cell."""
    generator = np.random.default_rng(cell)
    y, x = np.indices((scale * size, scale * size)) / scale
    places = generator.uniform(4, size - 4, (6, 2))
    return np.sum([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 6) for a, b in places], axis=0)


def frames_of(target, *, photons, scale=2, frames=9, seed=0):
    """Raw frames of a target as a camera of `GAIN` and `OFFSET` counts them, evenly lit."""
    y, x = (length // scale for length in target.shape)
    light = photons * target.reshape(y, scale, x, scale).mean((1, 3))
    generator = np.random.default_rng(seed)
    counts = GAIN * generator.poisson(light, (frames, y, x)) + OFFSET + generator.normal(0, 2, (frames, y, x))
    return np.rint(counts).clip(0, 65535).astype(np.uint16)


def write_biosr(root, *, specimen="F-actin", cells=(1, 2, 3), levels=(1, 2, 3), size=SIZE, frames=9, scale=2):
    """A tree of BioSR; levels have 20 times their number of photons."""
    for cell in cells:
        folder = Path(root) / specimen / f"Cell_{cell:03d}"
        target = field(cell, size=size, scale=scale)
        fine = np.rint(60000 * target / target.max()).astype(np.uint16)[None]
        bright = frames_of(target, photons=900, scale=scale, frames=frames, seed=cell)
        for level in levels:
            raw = frames_of(target, photons=20 * level, scale=scale, frames=frames, seed=100 * cell + level)
            name = f"RawSIMData_level_{level:02d}.mrc"
            if specimen == "ER":
                write_priism(folder / "RawSIMData" / name, raw, pixel_size_nm=62.6)
                write_priism(folder / "GTSIM" / f"GTSIM_level_{level:02d}.mrc", fine, pixel_size_nm=62.6 / scale)
                write_priism(
                    folder / "RawGTSIMData" / f"RawGTSIMData_level_{level:02d}.mrc", bright, pixel_size_nm=62.6
                )
            else:
                write_priism(folder / name, raw, pixel_size_nm=62.6)
        if specimen != "ER":
            write_priism(folder / "RawSIMData_gt.mrc", bright, pixel_size_nm=62.6)
            names = ("SIM_gt_a", "SIM_gt_b") if specimen.endswith("Nonlinear") else ("SIM_gt",)
            for name in names:
                write_priism(folder / f"{name}.mrc", fine, pixel_size_nm=62.6 / scale)
    return Path(root)


def stretched(frames, *, together=True, rounding=np.rint):
    """Frames stretched to 16 bits by their minimum and maximum, as DL-SR's test images are."""
    axes = None if together else (1, 2)
    low, high = frames.min(axis=axes, keepdims=True), frames.max(axis=axes, keepdims=True)
    return rounding((frames.astype(float) - low) * 65535 / (high - low)).astype(np.uint16)


def write_frames(folder, frames):
    """A file for each frame, 1.tif, 2.tif, ..."""
    for number, frame in enumerate(frames, start=1):
        write_raw_tiff(Path(folder) / f"{number}.tif", frame[None], pixel_size_nm=62.6)


def write_real_tree(root, data, *, specimen="f_actin", levels=None, cells=(1, 36)):
    """The real exposures of a folder of test data as a BioSR tree; their target is the brightest, bilinear.

    Cells are parts of the one field that there is, side by side.
    """
    folder = {"f_actin": "F-actin", "microtubules": "Microtubules"}[specimen]
    files = sorted((Path(data) / "biosr_levels").glob(f"{specimen}_level*.tif"))
    for number, path in enumerate(files, start=1):
        if levels is not None and number not in levels:
            continue
        frames = tifffile.imread(path)
        for cell, part in zip(cells, _parts(frames, len(cells)), strict=True):
            name = f"RawSIMData_level_{number:02d}.mrc"
            write_priism(Path(root) / folder / f"Cell_{cell:03d}" / name, part, pixel_size_nm=62.6)
    for cell, part in zip(cells, _parts(tifffile.imread(files[-1]).mean(0), len(cells)), strict=True):
        fine = np.rint(part.repeat(2, 0).repeat(2, 1) * 8).astype(np.uint16)
        write_priism(Path(root) / folder / f"Cell_{cell:03d}" / "SIM_gt.mrc", fine[None], pixel_size_nm=31.3)
    return Path(root)


def _parts(images, count):
    """As many parts of one size, side by side."""
    return np.split(images[..., : images.shape[-1] // count * count], count, axis=-1)
