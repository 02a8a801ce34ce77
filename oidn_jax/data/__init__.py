"""Reading, checking and writing images: plain functions over numpy arrays, no jax.

Contract:
- `read_raw_stack` gives a `RawStack`: frames (time, frames, y, x) as stored on disk (no flips, no scaling), orientation
  slow and phase fast, with the pixel size in nanometres or None where the file does not say. `inspect_raw_stack` does
  every check that needs no pixels; `check_pixels` does the ones that do.
- `write_sr_tiff` writes what ImageJ and OME readers open with the right pixel size: float32, atomic, never over an
  existing file unless told to. `output_name` gives the usual name for it.
- A user's mistake is an `InputError` whose message is one line.
"""

from oidn_jax.data.checks import check_pixels
from oidn_jax.data.errors import InputError
from oidn_jax.data.raw_stack import RawStack, inspect_raw_stack, read_raw_stack
from oidn_jax.data.writers import output_name, write_raw_tiff, write_sr_tiff

__all__ = [
    "InputError",
    "RawStack",
    "check_pixels",
    "inspect_raw_stack",
    "output_name",
    "read_raw_stack",
    "write_raw_tiff",
    "write_sr_tiff",
]
