"""Reading, checking and writing images: plain functions over numpy arrays, no jax.

Contract:
- `open_raw_stack` gives a `RawStack`: frames (time, frames, y, x) as stored on disk (no flips, no scaling), orientation
  slow and phase fast, with the pixel size in nanometres or None where the file does not say. All that headers tell is
  checked when a file is opened, and no pixel is read; `RawStack.read` reads one time point. `RawStack.of_array` is the
  same over frames in memory. `gather` tells which files belong together.
- `open_images` opens super-resolved images of any program the same way; `check_image` refuses those that tell nothing.
- `open_sr_tiff` and `open_map_tiff` write what ImageJ and OME readers open with the right pixel size, one time point at
  a time: float32, atomic, never over an existing file unless told to. `output_name` gives the usual name for it.
  `write_sr_tiff` writes an image that is in memory as a whole.
- `write_raw_tiff` and `write_priism` write raw frames, the latter as MRC files of BioSR's kind; `cut_patches` and
  `write_patch_pair` make DL-SR's patch folders.
- `find_measured` finds measured pairs on disk, in BioSR's tree and in DL-SR's folders, by names alone; `read_pair`
  reads one.
- `read_radial_otf` reads a measured OTF: real, 1 at zero frequency, frequencies in cycles per micrometre.
- A user's mistake is an `InputError` whose message is one line.
"""

from oidn_jax.data.image_file import check_image
from oidn_jax.data.measured import find_measured, read_pair
from oidn_jax.data.mrc_writer import write_priism
from oidn_jax.data.otf_file import RadialOtf, read_radial_otf
from oidn_jax.data.patch_folder import cut_patches, write_patch_pair
from oidn_jax.data.raw_stack import RawStack, open_images, open_raw_stack
from oidn_jax.data.writers import open_map_tiff, open_sr_tiff, output_name, write_raw_tiff, write_sr_tiff
from oidn_jax.errors import InputError

__all__ = [
    "InputError",
    "RadialOtf",
    "RawStack",
    "check_image",
    "cut_patches",
    "find_measured",
    "open_images",
    "open_map_tiff",
    "open_raw_stack",
    "open_sr_tiff",
    "output_name",
    "read_pair",
    "read_radial_otf",
    "write_patch_pair",
    "write_priism",
    "write_raw_tiff",
    "write_sr_tiff",
]
