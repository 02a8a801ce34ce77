"""Writes images as TIFF files that ImageJ and OME readers open with the right pixel size, one time point at a time.

Contract: pixels are float32 (ImageJ cannot open float64). The file appears at its place complete or not at all, and an
existing one is replaced only when told to. The pixel size and the provenance always travel with the image.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np
import tifffile
from jaxtyping import Shaped

from oidn_jax.data.atomic import check_target, explained, partial_file, write_atomically
from oidn_jax.data.image_stack import Channel
from oidn_jax.data.raw_stack import Layout
from oidn_jax.errors import IllegalValue, InputError

_OME_SUFFIXES = (".ome.tif", ".ome.tiff")
# Classic TIFF, the only kind ImageJ writes, counts bytes in 32 bits; the margin leaves room for headers and metadata.
_CLASSIC_TIFF_BYTES = 2**32 - 2**25
_STORED = np.dtype("<f4")
# The pixels' range is known at the end only: these hold its place, and are longer than any float.
_LOWEST, _HIGHEST = "lowest".ljust(32, "."), "highest".ljust(32, ".")


def output_name(source: Path) -> str:
    """Gives the file name of the SR image of a raw file.

    `cell.mrc` becomes `cell_sr.tif`, and `cell.ome.tif` becomes `cell_sr.ome.tif`.
    """
    for suffix in _OME_SUFFIXES:
        if source.name.lower().endswith(suffix):
            return f"{source.name[: -len(suffix)]}_sr{suffix}"
    return f"{source.stem}_sr.tif"


def fits_imagej(shape: Sequence[int]) -> bool:
    """Whether float32 pixels of this shape fit into the 4 GB of the ImageJ format; a larger file must be OME-TIFF."""
    return 4 * math.prod(shape) <= _CLASSIC_TIFF_BYTES


class ImageWriter:
    """Takes the images of a file, one time point after the other.

    Attributes:
        path: the file to be.
        shape: of the whole, time first.
        low: smallest pixel written so far; NaN before the first.
        high: largest pixel written so far; NaN before the first.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], file: BinaryIO, *, allow_nan: bool) -> None:
        """Writes into an open file from where it stands."""
        self.path, self.shape = path, shape
        self.low = self.high = math.nan
        self._file, self._allow_nan, self._times = file, allow_nan, 0

    def write(self, image: Shaped[np.ndarray, "..."]) -> None:
        """Writes the next time point.

        Args:
            image: any real dtype; written as float32.

        Raises:
            InputError: a full disk.
            ValueError: another shape than announced, more time points than announced, or pixels that are NaN or
                infinite as float32.
        """
        if image.shape != self.shape[1:] or image.dtype.kind not in "uif":
            raise ValueError(
                f"the image is {image.dtype} {image.shape}; it must be real and {self.shape[1:]}, as announced"
            )
        if self._times == self.shape[0]:
            raise ValueError(f"{self.path} was announced to have {self.shape[0]} time points; no more can be written")
        # A float64 beyond the float32 range becomes infinite, which the next check reports.
        with np.errstate(over="ignore"):
            pixels = image.astype(_STORED, order="C")
        not_finite = np.count_nonzero(np.isinf(pixels) if self._allow_nan else ~np.isfinite(pixels))
        if not_finite:
            raise ValueError(f"the image has {not_finite} NaN or infinite pixels as float32; all must be finite")
        with explained(self.path, n_bytes=4 * math.prod(self.shape)):
            self._file.write(pixels.data)
        self.low = float(np.fmin(self.low, np.fmin.reduce(pixels, axis=None)))
        self.high = float(np.fmax(self.high, np.fmax.reduce(pixels, axis=None)))
        self._times += 1

    def finish(self) -> None:
        """Ends the file after its last time point.

        Raises:
            InputError: a full disk.
            ValueError: fewer time points than announced.
        """
        if self._times < self.shape[0]:
            raise ValueError(f"{self.path} was announced to have {self.shape[0]} time points; {self._times} came")
        with explained(self.path, n_bytes=4 * math.prod(self.shape)):
            self._file.flush()


@contextmanager
def open_sr_tiff(
    path: str | Path,
    *,
    shape: tuple[int, int, int],
    pixel_size_nm: float | None,
    layout: Layout | None = None,
    time_interval_s: float | None = None,
    z_spacing_nm: float | None = None,
    channels: Sequence[Channel] = (),
    provenance: Mapping[str, Any],
    overwrite: bool = False,
) -> Iterator[ImageWriter]:
    """Writes SR images (y, x), one at a time; the file is there when the block has ended well.

    A name in `.ome.tif` or `.ome.tiff` gives an OME-TIFF (PhysicalSizeX/Y in µm, TimeIncrement in s, the provenance as
    the image's Description; BigTIFF when large). Any other `.tif` or `.tiff` gives an ImageJ hyperstack (TZCYX,
    resolution = 1000 / pixel_size_nm pixels per um, finterval in s, the provenance under Info, display range from the
    minimum to the maximum).

    Args:
        path: the file to write; missing folders are made.
        shape: (images, y, x) of the whole.
        pixel_size_nm: spacing of the SR grid in nanometres; None writes no resolution.
        layout: which images are time points, slices and channels; None for time points alone.
        time_interval_s: time between images in seconds, if known.
        z_spacing_nm: distance of two slices in nanometres, if known.
        channels: what is known of each channel; ImageJ takes names as labels of the images, and colours of several.
        provenance: how the image was made, anything `json.dumps` takes.
        overwrite: replace an existing file.

    Yields:
        What takes the images. All of them must be written.

    Raises:
        InputError: wrong suffix; an existing file without `overwrite`; a folder that cannot be written; an image beyond
            the 4 GB of the ImageJ format; a pixel size or interval that is not positive.
        ValueError: an empty shape, or images that are not as many as announced.
    """
    path = Path(path)
    is_ome = path.name.lower().endswith(_OME_SUFFIXES)
    images, y, x = shape
    layout = layout or Layout(images)
    if math.prod(layout) != images or len(channels) not in (0, layout.channels):
        raise ValueError(f"{images} images are not {layout}, or {len(channels)} channels are described")
    _check_positive(pixel_size_nm, time_interval_s)
    several = layout.slices * layout.channels > 1
    if is_ome:
        metadata = _ome_metadata(pixel_size_nm, time_interval_s, provenance)
        metadata |= {"axes": "TZCYX"} if several else {}
        if z_spacing_nm is not None and layout.slices > 1:
            metadata |= {"PhysicalSizeZ": z_spacing_nm / 1000, "PhysicalSizeZUnit": "µm"}
        metadata |= _ome_channels(channels)
    else:
        metadata = _imagej_metadata(pixel_size_nm, time_interval_s, provenance)
        metadata |= {"mode": "composite"} if layout.channels > 1 else {}
        if z_spacing_nm is not None and layout.slices > 1:
            metadata |= {"spacing": z_spacing_nm / 1000, "unit": "um"}
        metadata |= _imagej_channels(channels, images)
    with _open_tiff(
        path,
        shape=shape,
        stored_shape=shape if is_ome and not several else (*layout, y, x),
        imagej=not is_ome,
        pixel_size_nm=None if is_ome else pixel_size_nm,
        metadata=metadata,
        overwrite=overwrite,
        allow_nan=False,
    ) as writer:
        yield writer


@contextmanager
def open_map_tiff(
    path: str | Path,
    *,
    shape: tuple[int, int, int, int],
    names: Sequence[str],
    ranges: Sequence[tuple[float, float]],
    pixel_size_nm: float | None,
    time_interval_s: float | None = None,
    provenance: Mapping[str, Any],
    overwrite: bool = False,
    allow_nan: bool = False,
) -> Iterator[ImageWriter]:
    """Writes maps of one field (map, y, x), one time point at a time: the channels of an ImageJ hyperstack.

    Each slice is labelled with its map's name. The file is there when the block has ended well.

    Args:
        path: the file to write; missing folders are made.
        shape: (time, map, y, x) of the whole.
        names: of the maps.
        ranges: (low, high) of each map, between which it is shown.
        pixel_size_nm: spacing of the maps in nanometres; None writes no resolution.
        time_interval_s: time between time points in seconds, if known.
        provenance: how the maps were made, anything `json.dumps` takes.
        overwrite: replace an existing file.
        allow_nan: NaN stands for pixels without a value.

    Yields:
        What takes the maps. All of them must be written.

    Raises:
        InputError: as `open_sr_tiff`.
        ValueError: as `open_sr_tiff`, or names or ranges that are not as many as the maps.
    """
    times, maps, y, x = shape
    if not len(names) == len(ranges) == maps:
        raise ValueError(f"{maps} maps, {len(names)} names, {len(ranges)} ranges; give one of each for every map")
    _check_positive(pixel_size_nm, time_interval_s)
    metadata = _imagej_metadata(pixel_size_nm, time_interval_s, provenance)
    metadata["mode"] = "grayscale"
    metadata["Labels"] = list(names) * times
    metadata["Ranges"] = tuple(float(limit) for pair in ranges for limit in pair)
    with _open_tiff(
        Path(path),
        shape=shape,
        stored_shape=(times, 1, maps, y, x),
        imagej=True,
        pixel_size_nm=pixel_size_nm,
        metadata=metadata,
        overwrite=overwrite,
        allow_nan=allow_nan,
    ) as writer:
        yield writer


def write_sr_tiff(
    path: str | Path,
    sr_image: Shaped[np.ndarray, "*time y x"],
    *,
    pixel_size_nm: float | None,
    time_interval_s: float | None = None,
    provenance: Mapping[str, Any],
    overwrite: bool = False,
) -> Path:
    """Writes an SR image (y, x), or a time series of them that fits into memory, as `open_sr_tiff` does."""
    images = sr_image.reshape(-1, *sr_image.shape[-2:])
    with open_sr_tiff(
        path,
        shape=images.shape,
        pixel_size_nm=pixel_size_nm,
        time_interval_s=time_interval_s,
        provenance=provenance,
        overwrite=overwrite,
    ) as writer:
        for image in images:
            writer.write(image)
    return Path(path)


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
        InputError: as `open_sr_tiff`.
        ValueError: frames that are not uint16.
    """
    path = Path(path)
    if raw_frames.dtype != np.uint16:
        raise ValueError(f"raw_frames are {raw_frames.dtype}; raw files hold uint16")
    _check_tiff_target(path, n_bytes=raw_frames.nbytes, imagej=True, overwrite=overwrite)
    write_atomically(
        path,
        lambda partial: tifffile.imwrite(
            partial,
            raw_frames,
            photometric="minisblack",
            imagej=True,
            resolution=(1000 / pixel_size_nm, 1000 / pixel_size_nm),
            metadata={"axes": "TYX", "unit": "um"},
        ),
        n_bytes=raw_frames.nbytes,
    )
    return path


def read_provenance(path: Path) -> dict[str, Any]:
    """What `open_sr_tiff` and `open_map_tiff` were told of how the image was made; empty of other files.

    Raises:
        InputError: a file that is there and cannot be opened.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            if tiff.ome_metadata is not None:
                image = ElementTree.fromstring(tiff.ome_metadata).find("{*}Image/{*}Description")
                text = None if image is None else image.text
            else:
                text = (tiff.imagej_metadata or {}).get("Info")
        provenance = json.loads(text or "{}")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path and its permissions") from error
    except Exception:  # what a reader says of a damaged file, or of metadata that are no JSON, is no matter here
        return {}
    return provenance if isinstance(provenance, dict) else {}


def _check_tiff_target(path: Path, *, n_bytes: int, imagej: bool, overwrite: bool) -> None:
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{path} must end in .tif, .tiff, .ome.tif or .ome.tiff")
    check_target(path, overwrite=overwrite)
    if imagej and n_bytes > _CLASSIC_TIFF_BYTES:
        raise InputError(
            f"{path} would hold {n_bytes / 2**30:.1f} GB, more than the 4 GB of the ImageJ format; use a name that "
            "ends in .ome.tif"
        )


def _check_positive(pixel_size_nm: float | None, time_interval_s: float | None) -> None:
    for name, value in (("pixel_size_nm", pixel_size_nm), ("time_interval_s", time_interval_s)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise IllegalValue(name, value, "give a positive number or None")


def _ome_metadata(
    pixel_size_nm: float | None, time_interval_s: float | None, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": "TYX", "Description": json.dumps(dict(provenance))}
    if pixel_size_nm is not None:
        for axis in "XY":
            metadata[f"PhysicalSize{axis}"] = pixel_size_nm / 1000
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
    if time_interval_s is not None:
        metadata["TimeIncrement"] = time_interval_s
        metadata["TimeIncrementUnit"] = "s"
    return metadata


def _imagej_metadata(
    pixel_size_nm: float | None, time_interval_s: float | None, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "axes": "TZCYX",
        "Info": json.dumps(dict(provenance)),
        "min": _LOWEST,
        "max": _HIGHEST,
    }
    if pixel_size_nm is not None:
        metadata["unit"] = "um"
    if time_interval_s is not None:
        metadata["finterval"] = time_interval_s
    return metadata


def _ome_channels(channels: Sequence[Channel]) -> dict[str, Any]:
    """Attributes of the Channel elements, where every channel has them: tifffile writes them for all or none."""
    columns: dict[str, list[Any]] = {
        "Name": [channel.name for channel in channels],
        "Color": [
            channel.color and int.from_bytes(bytes((*channel.color, 255)), "big", signed=True) for channel in channels
        ],
        "EmissionWavelength": [channel.emission_nm for channel in channels],
        "ExcitationWavelength": [channel.excitation_nm for channel in channels],
    }
    known = {name: values for name, values in columns.items() if values and None not in values}
    units = {f"{name}Unit": ["nm"] * len(values) for name, values in known.items() if name.endswith("Wavelength")}
    return {"Channel": known | units} if known else {}


def _imagej_channels(channels: Sequence[Channel], images: int) -> dict[str, Any]:
    """Labels of all images, and look-up tables from black to the colour of each channel."""
    names, colors = [channel.name for channel in channels], [channel.color for channel in channels]
    metadata: dict[str, Any] = {}
    if any(names):
        metadata["Labels"] = [name or f"channel {i + 1}" for i, name in enumerate(names)] * (images // len(names))
    if len(colors) > 1 and None not in colors:
        ramp = np.arange(256)[None, :] / 255
        metadata["LUTs"] = [np.rint(np.array(color)[:, None] * ramp).astype(np.uint8) for color in colors]
    return metadata


@contextmanager
def _open_tiff(
    path: Path,
    *,
    shape: tuple[int, ...],
    stored_shape: tuple[int, ...],
    imagej: bool,
    pixel_size_nm: float | None,
    metadata: dict[str, Any],
    overwrite: bool,
    allow_nan: bool,
) -> Iterator[ImageWriter]:
    """Lets tifffile write a file without pixels, and puts the pixels where it left room for them."""
    if math.prod(shape) == 0:
        raise ValueError(f"the shape is {shape}; there must be pixels")
    n_bytes = 4 * math.prod(shape)
    _check_tiff_target(path, n_bytes=n_bytes, imagej=imagej, overwrite=overwrite)
    with partial_file(path, n_bytes=n_bytes) as partial:
        with explained(path, n_bytes=n_bytes):
            room = tifffile.imwrite(
                partial,
                shape=stored_shape,
                dtype=_STORED,
                photometric="minisblack",
                imagej=imagej,
                ome=not imagej,
                bigtiff=n_bytes > _CLASSIC_TIFF_BYTES,
                resolution=None if pixel_size_nm is None else (1000 / pixel_size_nm, 1000 / pixel_size_nm),
                metadata=metadata,
                returnoffset=True,
            )
            assert room is not None  # all pixels lie in one piece
            file = partial.open("r+b")
        try:
            file.seek(room[0])
            writer = ImageWriter(path, shape, file, allow_nan=allow_nan)
            yield writer
            writer.finish()
        finally:
            # After a full disk, closing fails once more and must not hide the message.
            with suppress(OSError):
                file.close()
        if imagej:
            with explained(path, n_bytes=n_bytes), tifffile.TiffFile(partial, mode="r+") as tiff:
                tag = tiff.pages.first.tags["ImageDescription"]
                tag.overwrite(tag.value.replace(_LOWEST, str(writer.low)).replace(_HIGHEST, str(writer.high)))
