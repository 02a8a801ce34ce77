"""Files in, files out: checked first, written complete or not at all, with the right pixel size and provenance."""

import json
import os
import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from matplotlib.image import imread

from oidn_jax.acquisition import CameraSettings, KnownIllumination
from oidn_jax.data import InputError, open_images, open_raw_stack, write_priism, writers
from oidn_jax.methods import ClassicalMethod, GivenImage, NetworkMethod, reconstruct
from oidn_jax.reconstruction import Messages, Outputs, Reading, files, reconstruct_files
from oidn_jax.version import __version__
from tests.acquisition import simulated
from tests.methods.fakes import (
    MICROSCOPE,
    ORIGIN,
    Constant,
    Identity,
    fake,
    frames_last,
    raw_counts,
    untrained,
    upsampled,
)

STACK = raw_counts()


@pytest.fixture
def run(tmp_path):
    """A function that reconstructs, by default with the identity, into tmp_path/out; its lines are in said, warned."""

    def run(*inputs, method=None, out=None, microscope=MICROSCOPE, reading=None, progress=None, **outputs):
        run.model = fake(Identity)
        messages = Messages(run.said.append, run.warned.append, progress or (lambda name, fraction: None))
        return reconstruct_files(
            inputs,
            method or NetworkMethod(run.model),
            out or tmp_path / "out",
            microscope=microscope,
            reading=reading,
            outputs=Outputs(**outputs),
            messages=messages,
        )

    run.said, run.warned = [], []
    return run


def write(path, stack=STACK, *, pixel_size_nm=60.0, **metadata):
    """An ImageJ or OME-TIFF of the stack, or whatever else the name says."""
    times, frames = stack.shape[:2]
    if path.name.endswith(".ome.tif"):
        sizes = {f"PhysicalSize{axis}": pixel_size_nm / 1000 for axis in "XY"} if pixel_size_nm else {}
        tifffile.imwrite(path, stack[:, :, None], ome=True, metadata={"axes": "TCZYX", **sizes, **metadata})
    elif path.suffix == ".mrc":
        import mrcfile

        with mrcfile.new(path) as mrc:
            mrc.set_data(stack.reshape(times * frames, *stack.shape[2:]))
            mrc.voxel_size = 10 * pixel_size_nm
    else:
        resolution = {"resolution": (1000 / pixel_size_nm,) * 2} if pixel_size_nm else {}
        metadata = {"axes": "TCYX", **({"unit": "um"} if pixel_size_nm else {}), **metadata}
        tifffile.imwrite(path, stack, imagej=True, metadata=metadata, **resolution)
    return path


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def provenance_of(path):
    with tifffile.TiffFile(path) as tiff:
        return json.loads(tiff.imagej_metadata["Info"])


@pytest.mark.parametrize(
    ("name", "written"), [("cell.tif", "cell_sr.tif"), ("cell.ome.tif", "cell_sr.ome.tif"), ("a.b.mrc", "a.b_sr.tif")]
)
def test_one_acquisition(tmp_path, run, name, written):
    assert run(write(tmp_path / name)) == [tmp_path / "out" / written]
    assert listed(tmp_path / "out") == [written]
    result = open_images(tmp_path / "out" / written)
    assert result.dtype == np.float32
    assert result.pixel_size_nm == pytest.approx(30, rel=1e-5)
    expected = upsampled(STACK[0].mean(0))
    expected = expected[::-1] if name.endswith(".mrc") else expected  # whose first row is the bottom one
    np.testing.assert_allclose(result.read(0)[0], expected, atol=2e-6 * STACK.max())
    assert run.said == [f"{tmp_path / 'out' / written}: 80 x 96 pixels, 30 nm per pixel"]
    assert run.warned == []


@pytest.mark.parametrize("name", ["cell.tif", "cell.ome.tif"])
def test_a_time_lapse_keeps_its_interval(tmp_path, run, name):
    stack = raw_counts(times=3)
    interval = {"TimeIncrement": 2.5, "TimeIncrementUnit": "s"} if "ome" in name else {"finterval": 2.5}
    (path,) = run(write(tmp_path / name, stack, **interval))
    result = open_images(path)
    assert result.time_interval_s == 2.5
    for time in range(3):
        np.testing.assert_allclose(result.read(time)[0], upsampled(stack[time].mean(0)), atol=2e-6 * stack.max())
    assert run.said == [f"{path}: 3 x 80 x 96 pixels, 30 nm per pixel"]


@pytest.mark.parametrize("name", ["cell.tif", "cell.ome.tif"])
def test_slices_and_channels_stay_what_they_are(tmp_path, run, name):
    stack = raw_counts(times=4).reshape(2, 2, 9, 40, 48)  # slices, channels
    path = tmp_path / name
    if "ome" in name:
        metadata = {"axes": "ZTCYX", "PhysicalSizeX": 0.06, "PhysicalSizeY": 0.06, "PhysicalSizeZ": 0.125}
        tifffile.imwrite(path, stack.swapaxes(1, 2), ome=True, metadata=metadata)
    else:
        metadata = {"axes": "TZCYX", "unit": "um", "spacing": 0.125}
        resolution = (1000 / 60,) * 2
        tifffile.imwrite(path, stack.transpose(2, 0, 1, 3, 4), imagej=True, metadata=metadata, resolution=resolution)
    (written,) = run(path, preview=True)
    with tifffile.TiffFile(written) as tiff:
        assert tiff.series[0].axes == "ZCYX"
        pixels = tiff.asarray()
    assert pixels.shape == (2, 2, 80, 96)
    assert open_images(written).images.z_spacing_nm == pytest.approx(125)
    for z in range(2):
        for c in range(2):
            np.testing.assert_allclose(pixels[z, c], upsampled(stack[z, c].mean(0)), atol=2e-6 * stack.max())
    assert run.said == [f"{written}: 2 x 2 x 80 x 96 pixels, 30 nm per pixel"]
    assert sum("each gets an illumination of its own" in line for line in run.warned) == 1
    stem = written.name.removesuffix(".ome.tif").removesuffix(".tif")
    assert {f"{stem}_c1.png", f"{stem}_c2.png"} <= set(listed(written.parent))


def test_each_channel_has_its_own_stripes(tmp_path, run):
    """The second channel's stripes are those of the first, the orientations in another order."""
    counts = simulated.counts()
    other = counts[[3, 4, 5, 6, 7, 8, 0, 1, 2]]
    metadata, resolution = {"axes": "ZCYX", "unit": "um"}, (1000 / simulated.PIXEL_NM,) * 2
    path = tmp_path / "two.tif"
    tifffile.imwrite(path, np.stack([counts, other], 1), imagej=True, metadata=metadata, resolution=resolution)
    method, microscope = ClassicalMethod("wiener"), simulated.MICROSCOPE
    both = tifffile.imread(run(path, method=method, microscope=microscope)[0])
    assert both.shape == (2, 128, 128)
    for number, frames in enumerate((counts, other)):
        alone = simulated.write_frames(tmp_path / f"{number}.tif", frames)
        expected = tifffile.imread(run(alone, method=method, microscope=microscope)[0])
        np.testing.assert_array_equal(both[number], expected)
        own = json.loads((tmp_path / "out" / f"two_sr_c{number + 1}_illumination.json").read_text())
        assert (
            own["orientations"]
            == json.loads((tmp_path / "out" / f"{number}_sr_illumination.json").read_text())["orientations"]
        )
    files = [KnownIllumination(tmp_path / "out" / f"{number}_sr_illumination.json") for number in range(2)]
    with pytest.raises(InputError, match=r"has 2 channels, and each has stripes of its own.*one for each channel"):
        run(path, method=method, microscope=microscope, reading=Reading(known=files[0]), overwrite=True)
    with pytest.raises(InputError, match=r"3 values of `illumination` are given, but .* has 2 channels"):
        run(path, method=method, microscope=microscope, reading=Reading(known=(*files, files[0])), overwrite=True)
    recalled = run(path, method=method, microscope=microscope, reading=Reading(known=tuple(files)), overwrite=True)
    np.testing.assert_allclose(tifffile.imread(recalled[0]), both, rtol=0, atol=1e-3 * both.max())


def two_colours(path, *, axes="ZCYX"):
    """Two channels of the same frames, called and coloured, of other wavelengths where the format has them."""
    frames = np.stack([STACK[0], STACK[0][::-1]], 1)
    colors = [(0, 255, 0), (255, 0, 16)]
    if path.name.endswith(".ome.tif"):
        channel = {
            "Name": ["GFP", "mCherry"],
            "Color": [int.from_bytes(bytes((*color, 255)), "big", signed=True) for color in colors],
            "EmissionWavelength": [525.0, 610.0],
            "ExcitationWavelength": [488.0, 561.0],
        }
        metadata = {"axes": axes, "PhysicalSizeX": 0.06, "PhysicalSizeY": 0.06, "Channel": channel}
        tifffile.imwrite(path, frames, ome=True, metadata=metadata)
    else:
        tables = [np.outer(color, np.arange(256) / 255).round().astype(np.uint8) for color in colors]
        metadata = {"axes": axes, "unit": "um", "mode": "composite", "LUTs": tables, "Labels": ["GFP", "mCherry"] * 9}
        tifffile.imwrite(path, frames, imagej=True, metadata=metadata, resolution=(1000 / 60,) * 2)
    return path


@pytest.mark.parametrize("name", ["cell.tif", "cell.ome.tif"])
def test_channels_keep_names_and_colours(tmp_path, run, name):
    source = two_colours(tmp_path / name)
    (path,) = run(source)
    raw, result = open_raw_stack(source), open_images(path)
    assert [channel.name for channel in raw.channels] == ["GFP", "mCherry"]
    assert (result.layout.channels, result.channels) == (2, raw.channels)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "CYX"
        if "ome" in name:
            pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
            assert [channel["EmissionWavelength"] for channel in pixels["Channel"]] == [525, 610]
        else:
            assert tiff.imagej_metadata["Labels"] == ["GFP", "mCherry"]
            np.testing.assert_array_equal(tiff.imagej_metadata["LUTs"][1][:, -1], [255, 0, 16])


def test_each_channel_has_its_own_emission_and_network(tmp_path, run):
    """The model was trained at 525 nm: the second channel of the file is another colour, and may have its own model."""
    source = two_colours(tmp_path / "cell.ome.tif")
    alone = tifffile.imread(run(source)[0])[0]
    assert [line for line in run.warned if "emission" in line] == [
        f"channel 2 of {source}: the file tells of an emission of 610 nm, but 525 is used (`emission_nm`)"
    ]
    run.warned.clear()
    red = replace(fake(Constant, value=0.5), microscope=replace(MICROSCOPE, emission_wavelength_nm=610.0))
    methods = [NetworkMethod(fake(Identity)), NetworkMethod(red)]
    (both,) = run(source, method=methods, microscope=[MICROSCOPE, red.microscope], overwrite=True)
    assert run.warned == []
    first, second = tifffile.imread(both)
    np.testing.assert_array_equal(first, alone)
    assert np.ptp(second) == 0
    with tifffile.TiffFile(both) as tiff:
        told = json.loads(tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Description"])
    assert [each["channel"] for each in told["channels"]] == ["GFP", "mCherry"]
    assert [each["optics"]["emission_wavelength_nm"] for each in told["channels"]] == [525, 610]
    run.said.clear()
    message = "2 values of `workdir` are given, but .* has 1 channel; give one for all"
    refused(tmp_path, run, write(tmp_path / "one.tif"), message=message, method=methods)
    message = r"`microscope.scale` is \[2, 3\]"
    refused(tmp_path, run, source, message=message, microscope=[MICROSCOPE, replace(MICROSCOPE, scale=3)])


GUESS = "assumed unless the frames tell it: an OTF damping of 1"


def test_the_optics_of_a_file_go_before_those_that_are_assumed(tmp_path, run):
    source = two_colours(tmp_path / "cell.ome.tif")
    assumed = ("na", "emission_wavelength_nm", "otf_damping")
    reading = Reading(optics_from="", assumed=assumed)
    run(source, method=ClassicalMethod("wiener"), reading=reading)
    for number, emission in enumerate((525, 610), start=1):
        told = json.loads((tmp_path / "out" / f"cell_sr_c{number}_illumination.json").read_text())
        assert told["optics"]["emission_wavelength_nm"] == emission
        assert told["optics_from"] == "the file (emission) and assumed: NA 1.3 and " + GUESS
    assert sum("these are assumed: NA 1.3; give" in line for line in run.warned) == 1


def test_positions_become_files_of_their_own(tmp_path, run):
    stacks = [raw_counts(seed=number) for number in range(2)]
    source = tmp_path / "cell.ome.tif"
    with tifffile.TiffWriter(source) as file:
        for stack in stacks:
            metadata = {"axes": "TCYX", "PhysicalSizeX": 0.06, "PhysicalSizeY": 0.06}
            file.write(stack, metadata=metadata)
    written = run(source, preview=True)
    assert [path.name for path in written] == ["cell_sr_p1.ome.tif", "cell_sr_p2.ome.tif"]
    for path, stack in zip(written, stacks, strict=True):
        np.testing.assert_allclose(tifffile.imread(path), upsampled(stack[0].mean(0)), atol=2e-6 * stack.max())
    assert {"cell_sr_p1.png", "cell_sr_p2.png"} < set(listed(tmp_path / "out"))
    run.said.clear()
    message = "has 2 positions, and an image is judged against one"
    method = GivenImage(written[0])
    refused(tmp_path, run, source, message=message, method=method, out=tmp_path / "judged", trust=True)


def test_files_of_one_frame_each_are_one_acquisition(tmp_path, run):
    paths = [tmp_path / f"cell{number + 1}.tif" for number in range(9)]
    for path, frame in zip(paths, STACK[0], strict=True):
        tifffile.imwrite(path, frame, imagej=True, metadata={"unit": "um"}, resolution=(1000 / 60,) * 2)
    (written,) = run(*paths)
    assert written.name == "cell_sr.tif"
    np.testing.assert_allclose(tifffile.imread(written), upsampled(STACK[0].mean(0)), atol=2e-6 * STACK.max())
    (line,) = run.warned
    assert "its 9 files, cell1.tif to cell9.tif, are taken as one acquisition" in line
    assert provenance_of(written)["files"] == [path.name for path in paths]
    run.said.clear()
    refused(tmp_path, run, *paths[:8], message="holds 1 images.*give their folder or all of them")
    message = "is one of the inputs and would be replaced"
    paths[0].rename(tmp_path / "cell_sr.tif")
    refused(tmp_path, run, tmp_path / "cell_sr.tif", *paths[1:], message=message, out=tmp_path, overwrite=True)


def test_a_widefield_frame_is_left_out(tmp_path, run):
    path = write(tmp_path / "cell.tif", np.concatenate([STACK, STACK[:, :1] * 0 + 7], axis=1))
    (written,) = run(path, reading=Reading(widefield_frame="last"))
    np.testing.assert_allclose(tifffile.imread(written), upsampled(STACK[0].mean(0)), atol=2e-6 * STACK.max())
    assert provenance_of(written)["widefield_frame"] == "last"


@pytest.mark.parametrize(
    ("name", "flip_y", "flipped"),
    [("a.mrc", None, True), ("a.mrc", False, False), ("a.tif", None, False), ("a.tif", True, True)],
)
def test_images_are_written_as_other_programs_show_the_frames(tmp_path, run, name, flip_y, flipped):
    """Bio-Formats shows the first row of an MRC or DV file at the bottom, and that of a TIFF at the top."""
    source, reading = write(tmp_path / name), Reading(flip_y=flip_y)
    (written,) = run(source, reading=reading)
    expected = upsampled(STACK[0].mean(0))
    np.testing.assert_allclose(
        tifffile.imread(written), expected[::-1] if flipped else expected, atol=2e-6 * STACK.max()
    )
    assert provenance_of(written).get("flip_y", False) is flipped


@pytest.mark.parametrize("name", ["a.mrc", "a.tif"])
def test_an_image_is_judged_as_it_is_shown(tmp_path, run, name):
    """What is written of an MRC file, rows the other way round, fits it; and its maps lie as the image does."""
    counts = simulated.counts()
    source = write(tmp_path / name, counts[None], pixel_size_nm=simulated.PIXEL_NM)
    (written,) = run(source, method=ClassicalMethod("wiener"), microscope=simulated.MICROSCOPE, trust=True)
    (maps,) = run(source, method=GivenImage(written), microscope=simulated.MICROSCOPE, out=tmp_path / "b", trust=True)
    own = tifffile.imread(tmp_path / "out" / "a_sr_trust.tif")
    np.testing.assert_allclose(tifffile.imread(maps), own, atol=1e-2)
    other = source.with_suffix(".mrc" if name == "a.tif" else ".tif")
    write(other, counts[None], pixel_size_nm=simulated.PIXEL_NM)
    run(other, method=ClassicalMethod("wiener"), microscope=simulated.MICROSCOPE, out=tmp_path / "c", trust=True)
    np.testing.assert_allclose(tifffile.imread(tmp_path / "c" / "a_sr_trust.tif")[..., ::-1, :], own, atol=1e-3)


def test_the_stripes_decide_where_two_axes_fit(tmp_path, run):
    """Nine slices of nine raw frames on T: by its lengths Z could hold the frames as well."""
    counts = simulated.counts()
    slices = np.stack([np.roll(counts, z, axis=1) for z in range(9)], axis=1)  # T, Z
    metadata, resolution = {"axes": "TZYX", "unit": "um"}, (1000 / simulated.PIXEL_NM,) * 2
    tifffile.imwrite(tmp_path / "cell.tif", slices, imagej=True, metadata=metadata, resolution=resolution)
    method, microscope = ClassicalMethod("widefield"), simulated.MICROSCOPE
    (path,) = run(tmp_path / "cell.tif", method=method, microscope=microscope)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "ZYX"
        image = tiff.asarray()[4]
    alone = simulated.write_frames(tmp_path / "alone.tif", slices[:, 4])
    np.testing.assert_allclose(image, tifffile.imread(run(alone, method=method, microscope=microscope)[0]), atol=2)
    assert "the frames are on the axis T" in run.warned[0]
    (forced,) = run(
        tmp_path / "cell.tif",
        method=method,
        microscope=microscope,
        reading=Reading(frame_axis="Z"),
        overwrite=True,
    )
    with tifffile.TiffFile(forced) as tiff:
        assert tiff.series[0].axes == "TYX"
    with pytest.raises(InputError, match=r"`frame_axis` is 'C'; .* has the axes T, Z"):
        run(tmp_path / "cell.tif", method=method, microscope=microscope, reading=Reading(frame_axis="C"))


@pytest.mark.parametrize("name", ["network", "widefield"])
def test_stripes_that_contradict_the_grouping_are_refused_whatever_the_method(tmp_path, run, name):
    """Three acquisitions of four orientations are as many images as four of three."""
    counts = simulated.counts()
    quadruples = np.concatenate([counts, counts[3:6].swapaxes(1, 2)])
    source = simulated.write_frames(tmp_path / "cell.tif", np.tile(quadruples, (3, 1, 1)).reshape(4, 9, 64, 64))
    network = name == "network"
    method = NetworkMethod(untrained(microscope=simulated.MICROSCOPE)) if network else ClassicalMethod(name)
    message = "times 1 and 2 show stripes of different directions.*; the stripes agree with 4 as `orientations`$"
    refused(tmp_path, run, source, message=message, method=method, microscope=simulated.MICROSCOPE)
    twice = simulated.write_frames(tmp_path / "twice.tif", counts[[0, 1, 2, 0, 1, 2, 3, 4, 5]])
    message = "orientations 1 and 2 show the same stripes"
    refused(tmp_path, run, twice, message=message, method=method, microscope=simulated.MICROSCOPE)
    swapped = simulated.write_frames(tmp_path / "apz.tif", counts[[0, 3, 6, 1, 4, 7, 2, 5, 8]])
    message = "the stripes show better with phases and orientations exchanged"
    refused(tmp_path, run, swapped, message=message, method=method, microscope=simulated.MICROSCOPE)


def test_a_refusal_names_the_order_that_the_stripes_agree_with(tmp_path, run):
    """Slices between the frames, as OMX and softWoRx write them."""
    counts = simulated.counts()
    slices = np.stack([np.roll(counts, z, axis=1) for z in range(3)])  # z, frame
    order = slices.reshape(3, 3, 3, 64, 64).swapaxes(0, 1).reshape(27, 64, 64)  # orientation, z, phase
    source = simulated.write_frames(tmp_path / "cell.tif", order[:, None])
    message = "orientations 1 and 2 show the same stripes.*; the stripes agree with pza as `frame_order`$"
    refused(tmp_path, run, source, message=message, method=ClassicalMethod("wiener"), microscope=simulated.MICROSCOPE)


def test_weak_stripes_contradict_nothing(tmp_path, run):
    noise = np.random.default_rng(0).poisson(300, (2, 9, 64, 64))
    source = simulated.write_frames(tmp_path / "cell.tif", noise)
    run(source, method=ClassicalMethod("widefield"), microscope=simulated.MICROSCOPE)
    assert run.warned == []


def test_files_give_what_arrays_give(tmp_path, run):
    model = untrained()
    (path,) = run(write(tmp_path / "cell.tif"), method=NetworkMethod(model, tile=32, overlap=8))
    expected = reconstruct(frames_last(STACK), model, tile=32, overlap=8)
    np.testing.assert_array_equal(tifffile.imread(path).reshape(80, 96), expected[0, ..., 0])


@pytest.mark.parametrize("flip_y", [None, True, False])
@pytest.mark.parametrize("suffix", ["tif", "mrc"])
def test_maps_of_the_camera_apply_to_the_pixels_that_they_show(tmp_path, run, suffix, flip_y):
    """Of the same sensor, in a file of either kind; the uneven frames of it give the image of the even ones."""
    counts = simulated.counts().astype(np.int16)
    offset = np.round(20 * np.random.default_rng(1).normal(size=counts.shape[1:])).astype(np.int16)
    for name, frames in (("even", counts), ("uneven", counts + offset)):
        write_priism(tmp_path / f"{name}.mrc", frames, pixel_size_nm=simulated.PIXEL_NM)
    path = tmp_path / f"offset.{suffix}"
    if suffix == "tif":  # whose first row is shown at the top
        tifffile.imwrite(path, offset[::-1])
    else:
        write_priism(path, offset[None], pixel_size_nm=simulated.PIXEL_NM)
    images, method = [], ClassicalMethod("wiener")
    for name, given in (("even", np.zeros(offset.shape)), ("uneven", path)):
        reading = Reading(camera=CameraSettings(camera_gain=1.0, offset_map=given), flip_y=flip_y)
        written = run(tmp_path / f"{name}.mrc", method=method, microscope=simulated.MICROSCOPE, reading=reading)[0]
        images.append(tifffile.imread(written))
    np.testing.assert_allclose(images[1], images[0], rtol=0, atol=1e-3 * np.abs(images[0]).max())
    assert provenance_of(written)["camera_maps"] == {"offset_map": path.name}
    illumination = json.loads((tmp_path / "out" / "uneven_sr_illumination.json").read_text())
    assert illumination["camera_maps"] == {"offset_map": path.name}


CAMERA = CameraSettings(camera_gain=1.0, camera_offset=100.0)


@pytest.mark.parametrize("name", ["network", "widefield", "wiener"])
def test_a_time_lapse_gives_what_its_time_points_give_alone(tmp_path, run, name):
    """The camera is given, and for Wiener SIM the patterns, which one time point would tell otherwise than another."""
    counts = simulated.counts()
    lapse = np.stack([counts, np.round(100 + (counts - 100.0) * 0.7), np.roll(counts, 5, axis=2)]).astype(np.uint16)
    network = name == "network"
    method = NetworkMethod(untrained(microscope=simulated.MICROSCOPE)) if network else ClassicalMethod(name)
    known = None
    if name == "wiener":
        lapse = lapse[:2]
        run(
            simulated.write_frames(tmp_path / "known.tif", counts),
            method=method,
            microscope=simulated.MICROSCOPE,
            reading=Reading(camera=CAMERA),
        )
        known = KnownIllumination(tmp_path / "out" / "known_sr_illumination.json")

    def images(file_name, frames):
        source = simulated.write_frames(tmp_path / file_name, frames)
        reading = Reading(camera=CAMERA, known=known)
        return tifffile.imread(run(source, method=method, microscope=simulated.MICROSCOPE, reading=reading)[0])

    together = images("lapse.tif", lapse)
    for time, frames in enumerate(lapse):
        alone = images(f"time_{time}.tif", frames)
        # Of a later time point only the brightness is measured, relative to the first.
        tolerance = 2e-3 * np.abs(alone).max() if name == "wiener" and time else 0
        np.testing.assert_allclose(together[time], alone, rtol=0, atol=tolerance)


def test_an_illumination_file_holds_all_time_points(tmp_path, run):
    """Patterns that move, and light that fades: with the file of a lapse its image comes out again."""
    counts = simulated.counts()
    moved = counts[[1, 2, 0, 3, 4, 5, 8, 6, 7]]
    faded = (100 + (moved - 100.0) * np.repeat([0.6, 0.5, 0.4], 3)[:, None, None]).round().astype(np.uint16)
    source = simulated.write_frames(tmp_path / "lapse.tif", np.stack([counts, moved, faded]))
    method = ClassicalMethod("wiener")
    first = tifffile.imread(run(source, method=method, microscope=simulated.MICROSCOPE)[0])
    known = KnownIllumination(tmp_path / "out" / "lapse_sr_illumination.json")
    times = json.loads(known.path.read_text())["times"]
    phase = np.array([time["phases_deg"][0][0] for time in times])
    assert len(times) == 3
    assert abs(abs((phase[1] - phase[0] + 180) % 360 - 180) - 120) < 5
    out, reading = tmp_path / "again", Reading(known=known)
    again = tifffile.imread(run(source, method=method, microscope=simulated.MICROSCOPE, reading=reading, out=out)[0])
    np.testing.assert_allclose(again, first, rtol=0, atol=1e-4 * np.abs(first).max())


@pytest.mark.parametrize("name", ["network", "widefield"])
def test_memory_does_not_grow_with_the_number_of_time_points(tmp_path, run, name):
    stack = raw_counts(96, 96)

    def peak(times):
        path = tmp_path / f"{times}.tif"
        tifffile.imwrite(path, np.tile(stack, (times, 1, 1, 1)), photometric="minisblack")
        method = NetworkMethod(fake(Identity)) if name == "network" else ClassicalMethod(name)
        tracemalloc.start()
        run(path, method=method, overwrite=True)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)  # what is imported and compiled once
    # A time point has 166 kB of raw frames and 147 kB of image; the headers of its 9 pages in the file take 13 kB.
    assert peak(22) - peak(2) < 4 * stack.nbytes


def test_provenance(tmp_path, run):
    method = NetworkMethod(fake(Identity), tile=44, overlap=7)
    (path,) = run(write(tmp_path / "cell.tif"), method=method, reading=Reading(optics_from="the model's training"))
    provenance = provenance_of(path)
    assert re.fullmatch("[0-9a-f]{16} [0-9a-f]{16}", " ".join(provenance.pop("fingerprint").values()))
    assert provenance == {
        "software": "oidn_jax",
        "version": __version__,
        "source": "cell.tif",
        "method": "oidn",
        "frame_order": "paz",
        "optics_from": "the model's training",
        "weights": ORIGIN,
        "intensity": "in the range of the raw frames, not proportional to light",
        "normalisation": "joint",
        "tile": [44, 44],
        "overlap": 7,
        "optics": MICROSCOPE.describe(),
    }


def test_the_tile_that_memory_allowed_is_written(tmp_path, run):
    source = write(tmp_path / "a.tif", raw_counts(140, 140, times=2))
    (path,) = run(source, method=NetworkMethod(fake(Identity, largest=70), tile=140))
    assert provenance_of(path)["tile"] == [70, 70]
    (warning,) = run.warned
    assert warning.startswith(f"{source}: memory ran out with tiles of 140")


def test_the_other_frame_order(tmp_path, run):
    other = STACK.reshape(1, 3, 3, 40, 48).swapaxes(1, 2).reshape(STACK.shape)
    method = NetworkMethod(untrained())
    (right,) = run(write(tmp_path / "right.tif"), method=method)
    reading = Reading(frame_order="phase-orientation")
    (other,) = run(write(tmp_path / "other.tif", other), method=method, reading=reading)
    np.testing.assert_array_equal(tifffile.imread(right), tifffile.imread(other))
    assert run.warned == []


def test_doubtful_pixels_are_warned_of(tmp_path, run):
    run(write(tmp_path / "cell.tif", np.minimum(STACK * 100, 4095).astype(np.uint16)))
    (warning,) = run.warned
    assert "saturated (value 4095)" in warning


@pytest.mark.parametrize(
    ("in_file", "given", "written", "warning"),
    [
        (62.9, None, 31.45, None),
        (66.0, None, 33.0, "66 nm, but the model was trained at 60 nm (+10 %)"),
        (30.0, 60.0, 30.0, None),
        (None, None, None, "does not say its pixel size"),
        (None, 60.0, 30.0, None),
    ],
)
def test_pixel_sizes(tmp_path, run, in_file, given, written, warning):
    reading = Reading(pixel_size_nm=given)
    (path,) = run(write(tmp_path / "cell.tif", pixel_size_nm=in_file), reading=reading)
    assert open_images(path).pixel_size_nm == (written and pytest.approx(written, rel=1e-5))
    if warning is None:
        assert run.warned == []
    else:
        (line,) = run.warned
        assert warning in line
        assert "`pixel_size_nm`" in line
    assert run.said[0].endswith("pixel size unknown" if written is None else f"{written:g} nm per pixel")


def test_previews(tmp_path, run):
    sources = [write(tmp_path / name) for name in ("a.tif", "b.ome.tif", "c.tiff")]
    sources += [write(tmp_path / "d.ome.tif").rename(tmp_path / "d.OME.TIF")]
    run(*sources, preview=True)
    assert listed(tmp_path / "out") == sorted(
        [f"{name}_sr.png" for name in "abcd"] + ["a_sr.tif", "b_sr.ome.tif", "c_sr.tif", "d_sr.ome.tif"]
    )
    assert imread(tmp_path / "out" / "a_sr.png").shape[1] > 800


def test_an_image_beyond_imagej_becomes_ome(tmp_path, run, monkeypatch):
    monkeypatch.setattr(writers, "_CLASSIC_TIFF_BYTES", 4 * 80 * 96 - 1)
    (path,) = run(write(tmp_path / "cell.tif"))
    assert path.name == "cell_sr.ome.tif"
    assert open_images(path).pixel_size_nm == pytest.approx(30)
    monkeypatch.setattr(writers, "_CLASSIC_TIFF_BYTES", 4 * 80 * 96)
    (path,) = run(tmp_path / "cell.tif")
    assert path.name == "cell_sr.tif"


def refused(tmp_path, run, *inputs, message, **options):
    """The inputs are refused in one line, with nothing computed and nothing written."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message) as error:
        run(*inputs, **options)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert run.model.shapes == []
    assert run.said == []


def damaged(folder, kind):
    path = write(folder / "bad.tif")
    match kind:
        case "missing":
            path.unlink()
        case "truncated":
            path.write_bytes(path.read_bytes()[:-2000])
        case "8 frames":
            write(path, STACK[:, :8])
        case "nan" | "constant":
            stack = STACK.astype(np.float32)
            stack[0, 4, 5, 6] = np.nan
            if kind == "constant":
                stack[0, 4] = 7
            write(path, stack)
    return path


DAMAGE = {
    "missing": "bad.tif does not exist",
    "truncated": "bad.tif is truncated",
    "8 frames": "bad.tif holds 8 images",
}
DAMAGED_PIXELS = {"nan": "1 pixels that are NaN", "constant": "1 frames of one value everywhere"}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_wrong_file_among_good_ones_stops_before_anything_is_computed(tmp_path, run, kind):
    """What readers refuse is tested with them; here, when it is told."""
    refused(tmp_path, run, write(tmp_path / "good.tif"), damaged(tmp_path, kind), message=DAMAGE[kind])


@pytest.mark.parametrize("kind", DAMAGED_PIXELS)
def test_wrong_pixels(tmp_path, run, kind):
    refused(tmp_path, run, damaged(tmp_path, kind), message=DAMAGED_PIXELS[kind])


def test_wrong_pixels_in_a_later_file_leave_the_earlier_images(tmp_path, run):
    good, bad, never = write(tmp_path / "good.tif"), damaged(tmp_path, "nan"), write(tmp_path / "never.tif")
    with pytest.raises(
        InputError, match=r"has 1 pixels that are NaN.* \(images written before it, which stay: .*good_sr.tif\)"
    ):
        run(good, bad, never)
    assert listed(tmp_path / "out") == ["good_sr.tif"]
    assert len(run.said) == 1


def test_a_mistake_at_a_later_time_point_leaves_nothing(tmp_path, run):
    """Images are written as they are made, but appear as a whole."""

    class Diverges(Identity):
        def __call__(self, tile):
            prediction = super().__call__(tile)
            return prediction._replace(image=prediction.image * (np.nan if len(self.shapes) == 3 else 1))

    with pytest.raises(InputError, match="NaN or infinite pixels"):
        run(write(tmp_path / "cell.tif", raw_counts(times=4)), method=NetworkMethod(fake(Diverges)), preview=True)
    assert not (tmp_path / "out").exists() or listed(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (Reading(pixel_size_nm=-1.0), "`pixel_size_nm` is -1.0"),
        (Reading(frame_order="zigzag"), "`frame_order` is 'zigzag'"),
    ],
)
def test_wrong_reading(tmp_path, run, reading, message):
    refused(tmp_path, run, write(tmp_path / "cell.tif"), message=message, reading=reading)


@pytest.mark.parametrize("name", ["cell_sr.tif", "cell_sr.png"])
def test_an_existing_output_is_kept(tmp_path, run, name):
    source, existing = write(tmp_path / "cell.tif"), tmp_path / "out" / name
    existing.parent.mkdir()
    existing.write_bytes(b"mine")
    inputs = write(tmp_path / "first.tif"), source
    refused(tmp_path, run, *inputs, message=f"{name} exists already; .* `overwrite`", preview=True)
    assert existing.read_bytes() == b"mine"
    run(*inputs, preview=True, overwrite=True)
    assert len(listed(tmp_path / "out")) == 4
    assert existing.read_bytes() != b"mine"


def test_two_inputs_with_one_output_name(tmp_path, run):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    a, b = write(tmp_path / "a" / "cell.tif"), write(tmp_path / "b" / "cell.tif")
    refused(tmp_path, run, a, b, message=f"{a} and {b} would both become .*cell_sr.tif")
    refused(tmp_path, run, a, a, message="would both become", overwrite=True)
    ome = write(tmp_path / "a" / "cell.ome.tif")
    refused(tmp_path, run, a, ome, message=r"would both become .*cell_sr\.png", preview=True)
    assert len(run(a, ome)) == 2


def test_an_output_is_never_an_input(tmp_path, run):
    """Not even with overwrite."""
    inputs = write(tmp_path / "cell.tif"), write(tmp_path / "cell_sr.tif")
    message = "is one of the inputs and would be replaced"
    refused(tmp_path, run, *inputs, message=message, out=tmp_path, overwrite=True)
    # The image that is judged is read too, and would become a trust map.
    source = write(tmp_path / "large.tif", raw_counts(48, 48))
    image = write(tmp_path / "large_sr_trust.tif", raw_counts(96, 96)[:, :1])
    judged = {"method": GivenImage(image), "trust": True}
    refused(tmp_path, run, source, message=message, out=tmp_path, overwrite=True, **judged)


def test_output_folders_that_cannot_be_made(tmp_path, run):
    source = write(tmp_path / "cell.tif")
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        refused(tmp_path, run, source, message="file is a file, so the output folder", out=out)
    (tmp_path / "out" / "cell_sr.tif").mkdir(parents=True)
    refused(tmp_path, run, source, message=r"cell_sr\.tif is a folder", overwrite=True)


def test_output_folders_that_cannot_be_written(tmp_path, run, monkeypatch):
    """Told by the nearest folder that exists; tests may run as root, whom no permission stops."""
    source, asked = write(tmp_path / "cell.tif"), []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)))
    message = rf"the output folder .*out.new cannot be written \({tmp_path} is not writable\)"
    refused(tmp_path, run, source, message=message, out=tmp_path / "out" / "new")
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]


def test_an_interrupted_image_leaves_nothing(tmp_path, run):
    class Interrupted(Identity):
        def __call__(self, tile):
            if len(self.shapes) == 1:
                raise KeyboardInterrupt
            return super().__call__(tile)

    with pytest.raises(KeyboardInterrupt):
        run(write(tmp_path / "cell.tif", raw_counts(times=2)), method=NetworkMethod(fake(Interrupted)))
    assert not (tmp_path / "out").exists() or listed(tmp_path / "out") == []


def test_an_interrupted_preview_leaves_the_image(tmp_path, run, monkeypatch):
    def interrupted(figure, path, **options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(write(tmp_path / "cell.tif"), preview=True)
    assert listed(tmp_path / "out") == ["cell_sr.tif"]


def test_a_file_too_large_for_the_memory(tmp_path, run, monkeypatch):
    def read(*args, **options):
        raise MemoryError

    monkeypatch.setattr(files.Acquisition, "check", read)
    refused(tmp_path, run, write(tmp_path / "cell.tif"), message=r"cell\.tif does not fit into memory")


def test_progress_runs_from_zero_to_one(tmp_path, run):
    calls = []
    inputs = write(tmp_path / "a.tif", raw_counts(32, 32)), write(tmp_path / "b.tif", raw_counts(32, 64, times=2))
    method = NetworkMethod(fake(Identity), tile=32, overlap=0)
    run(*inputs, method=method, progress=lambda name, fraction: calls.append((name, fraction)))
    # Weighed by pixels: a has one fifth of them. Mirrored at the border, a has 2 x 2 tiles and b twice 2 x 3.
    assert [name for name, _ in calls] == ["a.tif"] * 4 + ["b.tif"] * 12
    expected = [i / 20 for i in range(1, 5)] + [0.2 + 0.8 * i / 12 for i in range(1, 13)]
    np.testing.assert_allclose([fraction for _, fraction in calls], expected)


def test_the_pixels_of_each_file_are_checked_with_the_optics_before_anything_is_computed(tmp_path, run):
    """The pixel size of the microscope holds only where a file tells none."""
    good = simulated.write_frames(tmp_path / "good.tif", simulated.counts())
    coarse = simulated.write_frames(tmp_path / "coarse.tif", simulated.counts(), pixel_size_nm=140.0)
    refused(tmp_path, run, good, coarse, message="140 nm .* too large", method=ClassicalMethod("wiener"))
    elsewhere = replace(simulated.MICROSCOPE, pixel_size_nm=200.0)
    assert run(good, method=ClassicalMethod("wiener"), microscope=elsewhere)
    assert run(coarse, method=ClassicalMethod("widefield"))


def test_a_model_of_other_frames(tmp_path, run):
    microscope = replace(MICROSCOPE, scale=3)
    message = r"`microscope\.scale` is 3; the model was trained with 2"
    refused(tmp_path, run, write(tmp_path / "cell.tif"), message=message, microscope=microscope)
