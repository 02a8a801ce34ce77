"""Writes SR images as TIFF files that ImageJ and OME readers open with the right pixel size.

Contract: pixels are float32 (ImageJ cannot open float64). The file appears at its place complete or not at all, and an
existing one is replaced only when told to. The pixel size and the provenance always travel with the image.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Shaped

from oidn_jax.data.atomic import check_target, write_atomically
from oidn_jax.errors import InputError

_OME_SUFFIXES = (".ome.tif", ".ome.tiff")
# Classic TIFF, the only kind ImageJ writes, counts bytes in 32 bits; the margin leaves room for headers and metadata.
_CLASSIC_TIFF_BYTES = 2**32 - 2**25


def output_name(source: Path) -> str:
    """Gives the file name of the SR image of a raw file.

    `cell.mrc` becomes `cell_sr.tif`, and `cell.ome.tif` becomes `cell_sr.ome.tif`.
    """
    for suffix in _OME_SUFFIXES:
        if source.name.lower().endswith(suffix):
            return f"{source.name[: -len(suffix)]}_sr{suffix}"
    return f"{source.stem}_sr.tif"


def write_sr_tiff(
    path: str | Path,
    sr_image: Shaped[np.ndarray, "*time y x"],
    *,
    pixel_size_nm: float | None,
    time_interval_s: float | None = None,
    provenance: Mapping[str, Any],
    overwrite: bool = False,
) -> Path:
    """Writes an SR image or a time series of them, atomically.

    A name in `.ome.tif` or `.ome.tiff` gives an OME-TIFF (PhysicalSizeX/Y in µm, TimeIncrement in s, the provenance as
    the image's Description; BigTIFF when large). Any other `.tif` or `.tiff` gives an ImageJ hyperstack (TZCYX,
    resolution = 1000 / pixel_size_nm pixels per um, finterval in s, the provenance under Info, display range from the
    minimum to the maximum).

    Args:
        path: the file to write; missing folders are made.
        sr_image: (time, y, x) or (y, x), any real dtype; written as float32.
        pixel_size_nm: spacing of the SR grid in nanometres; None writes no resolution.
        time_interval_s: time between images in seconds, if known.
        provenance: how the image was made, anything `json.dumps` takes.
        overwrite: replace an existing file.

    Returns:
        The path written.

    Raises:
        InputError: wrong suffix; an existing file without `overwrite`; a folder that cannot be written; an image beyond
            the 4 GB of the ImageJ format.
        ValueError: an image of another rank, NaN or infinite as float32, or a pixel size or interval that is not
            positive.
    """
    path = Path(path)
    is_ome = path.name.lower().endswith(_OME_SUFFIXES)
    _check_tiff_target(path, n_bytes=4 * np.size(sr_image), is_ome=is_ome, overwrite=overwrite)
    image = _checked_image(sr_image)
    for name, value in (("pixel_size_nm", pixel_size_nm), ("time_interval_s", time_interval_s)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; give a positive number or None")
    options = (_ome_options if is_ome else _imagej_options)(
        image, pixel_size_nm, time_interval_s, json.dumps(dict(provenance))
    )
    _write_tiff(path, options)
    return path


def write_map_tiff(
    path: str | Path,
    maps: Shaped[np.ndarray, "time map y x"],
    *,
    names: Sequence[str],
    ranges: Sequence[tuple[float, float]],
    pixel_size_nm: float | None,
    time_interval_s: float | None = None,
    provenance: Mapping[str, Any],
    overwrite: bool = False,
    allow_nan: bool = False,
) -> Path:
    """Writes maps of the same field as channels of an ImageJ hyperstack, each slice labelled with its name, atomically.

    Args:
        path: the file to write; missing folders are made.
        maps: any real dtype; written as float32.
        names: of the maps.
        ranges: (low, high) of each map, between which it is shown.
        pixel_size_nm: spacing of the maps in nanometres; None writes no resolution.
        time_interval_s: time between entries of the first axis in seconds, if known.
        provenance: how the maps were made, anything `json.dumps` takes.
        overwrite: replace an existing file.
        allow_nan: NaN stands for pixels without a value.

    Raises:
        InputError: as `write_sr_tiff`.
        ValueError: as `write_sr_tiff`, or names that are not as many as the maps.
    """
    path = Path(path)
    if maps.ndim != 4 or not len(names) == len(ranges) == maps.shape[1]:
        raise ValueError(
            f"maps of the shape {maps.shape}, {len(names)} names, {len(ranges)} ranges; give (time, map, y, x) and one "
            "of each for every map"
        )
    _check_tiff_target(path, n_bytes=4 * maps.size, is_ome=False, overwrite=overwrite)
    flat = _checked_image(maps.reshape(-1, *maps.shape[2:]), allow_nan=allow_nan)
    options = _imagej_options(flat, pixel_size_nm, time_interval_s, json.dumps(dict(provenance)))
    options["data"] = flat.reshape(maps.shape)[:, None]
    flat_ranges = tuple(float(limit) for pair in ranges for limit in pair)
    options["metadata"] |= {"mode": "grayscale", "Labels": list(names) * len(maps), "Ranges": flat_ranges}
    _write_tiff(path, options)
    return path


def write_raw_tiff(
    path: str | Path, raw_frames: Shaped[np.ndarray, "frames y x"], *, pixel_size_nm: float, overwrite: bool = False
) -> Path:
    """Writes raw frames as an ImageJ stack of 16-bit counts, atomically: what a camera file looks like.

    Args:
        path: the file to write; missing folders are made.
        raw_frames: uint16 counts, orientation slow and phase fast.
        pixel_size_nm: of the raw grid.
        overwrite: replace an existing file.

    Raises:
        InputError: as `write_sr_tiff`.
        ValueError: frames that are not uint16.
    """
    path = Path(path)
    if raw_frames.dtype != np.uint16:
        raise ValueError(f"raw_frames are {raw_frames.dtype}; raw files hold uint16")
    _check_tiff_target(path, n_bytes=raw_frames.nbytes, is_ome=False, overwrite=overwrite)
    resolution = (1000 / pixel_size_nm, 1000 / pixel_size_nm)
    options = {"imagej": True, "resolution": resolution, "metadata": {"axes": "TYX", "unit": "um"}}
    _write_tiff(path, {"data": raw_frames, **options})
    return path


def _checked_image(sr_image: np.ndarray, *, allow_nan: bool = False) -> np.ndarray:
    """Gives the image as (time, y, x) float32."""
    image = np.asarray(sr_image)
    if image.ndim not in (2, 3) or image.size == 0 or image.dtype.kind not in "uif":
        raise ValueError(
            f"sr_image is {image.dtype} {image.shape}; it must be real, (y, x) or (time, y, x), and not empty"
        )
    # A float64 beyond the float32 range becomes infinite, which the next check reports.
    with np.errstate(over="ignore"):
        image = image.astype(np.float32, copy=False).reshape(-1, *image.shape[-2:])
    refused = np.isinf if allow_nan else lambda plane: ~np.isfinite(plane)
    not_finite = sum(int(np.count_nonzero(refused(plane))) for plane in image)
    if not_finite:
        raise ValueError(f"sr_image has {not_finite} NaN or infinite pixels as float32; every pixel must be finite")
    return image


def _check_tiff_target(path: Path, *, n_bytes: int, is_ome: bool, overwrite: bool) -> None:
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{path} must end in .tif, .tiff, .ome.tif or .ome.tiff")
    check_target(path, overwrite=overwrite)
    if n_bytes > _CLASSIC_TIFF_BYTES and not is_ome:
        raise InputError(
            f"{path} would hold {n_bytes / 2**30:.1f} GB, more than the 4 GB of the ImageJ format; use a name that "
            "ends in .ome.tif"
        )


def _ome_options(
    image: np.ndarray, pixel_size_nm: float | None, time_interval_s: float | None, provenance: str
) -> dict[str, Any]:
    """Gives the arguments of tifffile's writer for an OME-TIFF."""
    metadata: dict[str, Any] = {"axes": "TYX", "Description": provenance}
    if pixel_size_nm is not None:
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": pixel_size_nm / 1000, f"PhysicalSize{axis}Unit": "µm"}
    if time_interval_s is not None:
        metadata |= {"TimeIncrement": time_interval_s, "TimeIncrementUnit": "s"}
    return {"data": image, "ome": True, "metadata": metadata, "bigtiff": image.nbytes > _CLASSIC_TIFF_BYTES}


def _imagej_options(
    image: np.ndarray, pixel_size_nm: float | None, time_interval_s: float | None, provenance: str
) -> dict[str, Any]:
    """Gives the arguments of tifffile's writer for an ImageJ hyperstack."""
    metadata: dict[str, Any] = {
        "axes": "TZCYX",
        "Info": provenance,
        "min": float(image.min()),
        "max": float(image.max()),
    }
    options: dict[str, Any] = {"data": image[:, None, None], "imagej": True, "metadata": metadata}
    if pixel_size_nm is not None:
        metadata["unit"] = "um"
        options["resolution"] = (1000 / pixel_size_nm, 1000 / pixel_size_nm)
    if time_interval_s is not None:
        metadata["finterval"] = time_interval_s
    return options


def _write_tiff(path: Path, options: dict[str, Any]) -> None:
    write_atomically(
        path,
        lambda partial: tifffile.imwrite(partial, photometric="minisblack", **options),
        n_bytes=options["data"].nbytes,
    )
