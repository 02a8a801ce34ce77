"""Reconstruct raw SIM files with a trained model.

python reconstruct.py cell.tif more/*.mrc --workdir=runs/f_actin --out=reconstructed --preview
"""

import argparse
from typing import NoReturn

from configs.command_line import run_script


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see --help\n")


def parser() -> argparse.ArgumentParser:
    """The flags."""
    flags = _Parser(description="Reconstruct raw SIM files with a trained model.", allow_abbrev=False)
    flags.add_argument("inputs", nargs="+", metavar="INPUT", help="raw frames: TIFF, ImageJ or OME-TIFF, MRC or DV")
    flags.add_argument("--workdir", required=True, metavar="DIR", help="of the training run of train.py")
    flags.add_argument("--out", required=True, metavar="DIR", help="folder of the images, made if missing")
    flags.add_argument("--checkpoint", choices=("best", "last"), help="default: best where there is one, else last")
    flags.add_argument(
        "--frame-order",
        choices=("orientation-phase", "phase-orientation"),
        default="orientation-phase",
        help="the slow one first; default: %(default)s",
    )
    flags.add_argument("--pixel-size-nm", type=float, metavar="NM", help="of the raw frames, if the file is wrong")
    flags.add_argument("--tile", type=int, metavar="PX", help="side of the tiles, raw pixels; default: as trained")
    flags.add_argument("--overlap", type=int, metavar="PX", help="of neighbouring tiles; default: a quarter tile")
    flags.add_argument("--preview", action="store_true", help="also write a PNG, widefield beside super-resolution")
    flags.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    return flags


def main() -> None:
    """Parse the flags, load the model, reconstruct the files."""
    options = vars(parser().parse_intermixed_args())
    # Imported here, so that --help and wrong flags need not wait for jax.
    import oidn_jax
    from oidn_jax.reconstruction import progress_bar, reconstruct_files

    model = oidn_jax.load(options.pop("workdir"), checkpoint=options.pop("checkpoint"))
    with progress_bar() as progress:
        reconstruct_files(options.pop("inputs"), model, options.pop("out"), **options, progress=progress)


if __name__ == "__main__":
    run_script(main)
