"""Reading, checking and writing images: plain functions over numpy arrays, no jax.

Contract:
- `read_raw_stack` gives a `RawStack`: frames (time, frames, y, x) as stored on disk (no flips, no scaling), orientation
  slow and phase fast, with the pixel size in nanometres or None where the file does not say. `inspect_raw_stack` does
  every check that needs no pixels; `check_pixels` does the ones that do.
- `write_sr_tiff` writes what ImageJ and OME readers open with the right pixel size: float32, atomic, never over an
  existing file unless told to. `output_name` gives the usual name for it.
- `write_priism` writes MRC files of BioSR's kind; `cut_patches` and `write_patch_pair` make DL-SR's patch folders.
- `read_radial_otf` reads a measured OTF: real, 1 at zero frequency, frequencies in cycles per micrometre.
- `read_image` reads a super-resolved image of any program; `write_map_tiff` writes several maps of one field.
- A user's mistake is an `InputError` whose message is one line.
"""

from oidn_jax.acquisition.checks import check_pixels
from oidn_jax.errors import InputError
from oidn_jax.data.image_file import read_image
from oidn_jax.data.mrc_writer import write_priism
from oidn_jax.data.otf_file import RadialOtf, read_radial_otf
from oidn_jax.data.patch_folder import cut_patches, write_patch_pair
from oidn_jax.acquisition.raw_report import RawReport, describe_raw, format_lines
from oidn_jax.data.raw_stack import RawStack, inspect_raw_stack, read_raw_stack
from oidn_jax.data.writers import output_name, write_map_tiff, write_raw_tiff, write_sr_tiff

__all__ = [
    "InputError",
    "RadialOtf",
    "RawReport",
    "RawStack",
    "check_pixels",
    "cut_patches",
    "describe_raw",
    "format_lines",
    "inspect_raw_stack",
    "output_name",
    "read_image",
    "read_radial_otf",
    "read_raw_stack",
    "write_map_tiff",
    "write_patch_pair",
    "write_priism",
    "write_raw_tiff",
    "write_sr_tiff",
]
