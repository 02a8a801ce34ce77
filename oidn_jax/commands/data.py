"""`oidn-jax data`: measured data on disk, looked at and prepared."""

import argparse
import sys
from pathlib import Path

from oidn_jax.commands.parser import OneLineParser
from oidn_jax.commands.run import run
from oidn_jax.errors import printable

DESCRIPTION = """\
Measured data on disk, as BioSR is published and as users of the DL-SR code have it (docs/data.md).

  oidn-jax data inspect BioSR --out=look
  oidn-jax data prepare BioSR/F-actin --out=patches

inspect says what is there: specimens, cells, levels, sizes, photons; what is missing, and what is broken. It reads
every file, and exits with 1 where something is missing or broken.

prepare cuts patches from the cells of BioSR and writes them as the training of DL-SR reads them, a folder for each
specimen: training/, training_gt/, validate/ and validate_gt/."""
_ACTIONS = ("inspect", "prepare")


def main(arguments: list[str] | None = None) -> None:
    """Hands the rest of the command line to the action that its first word names."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = OneLineParser("oidn-jax data", DESCRIPTION)
    parser.add_argument("action", choices=_ACTIONS, help="what to do; `oidn-jax data ACTION --help` tells its flags")
    options = parser.parse_args(words[:1])
    {"inspect": _main_inspect, "prepare": _main_prepare}[options.action](words[1:])


def _main_inspect(words: list[str]) -> None:
    parser = OneLineParser("oidn-jax data inspect", DESCRIPTION)
    parser.add_argument("root", metavar="DIR", help="folder of the data, or a list of pairs")
    parser.add_argument("--out", metavar="DIR", help="also draw a contact sheet of each set into this folder")
    parser.add_argument("--overwrite", action="store_true", help="replace contact sheets that are there")
    options = parser.parse_args(words)
    run(lambda: inspect(options), spell=parser.spell)


def inspect(options: argparse.Namespace) -> None:
    """Reads everything, prints a report; exits with 1 where something is missing or broken."""
    from oidn_jax.commands.progress import progress_bar
    from oidn_jax.data.atomic import check_target
    from oidn_jax.data.measured import find_measured

    sets = find_measured(options.root)
    sheets = [_sheet(options.out, number, measured.name, len(sets)) for number, measured in enumerate(sets)]
    for sheet in filter(None, sheets):
        for suffix in ("png", "pdf"):
            check_target(sheet.with_name(f"{sheet.name}.{suffix}"), overwrite=options.overwrite)
    # Imported here, so that a wrong folder need not wait for jax.
    from oidn_jax.evaluation.inventory import describe, draw_contact_sheet, take_inventory

    broken = False
    for measured, sheet in zip(sets, sheets, strict=True):
        with progress_bar() as progress:
            inventory = take_inventory(
                measured,
                progress=lambda done, total, name=measured.name: progress(printable(name), done / total),
            )
        print(printable_lines(describe(inventory)), flush=True)
        broken |= inventory.broken
        if sheet is not None:
            for path in draw_contact_sheet(inventory, sheet):
                print(f"  drawn: {printable(str(path))}")
    if broken:
        sys.exit(1)


def _main_prepare(words: list[str]) -> None:
    parser = OneLineParser("oidn-jax data prepare", DESCRIPTION)
    parser.add_argument("root", metavar="DIR", help="folder of BioSR, or of one of its specimens")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the patches, made if missing")
    for name, cells in (("training", "6-35"), ("validation", "1-5")):
        parser.add_argument(
            f"--{name}", type=_cells, default=_cells(cells), metavar="CELLS", help=f"of {name}; default: {cells}"
        )
    parser.add_argument("--levels", type=_cells, metavar="LEVELS", help="signal levels to cut from; default: all")
    parser.add_argument(
        "--patches", type=int, default=20000, metavar="N", help="for training, of each specimen; default: %(default)s"
    )
    parser.add_argument(
        "--validation-patches", type=int, default=2000, metavar="N", help="for validation; default: %(default)s"
    )
    parser.add_argument(
        "--patch", type=int, default=128, metavar="PX", help="side of a raw patch; default: %(default)s"
    )
    parser.add_argument(
        "--no-turn", action="store_true", help="neither rotate nor mirror patches, which turns their stripes too"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of places and turns; default: %(default)s")
    parser.add_argument(
        "--broken", choices=("refuse", "skip"), default="refuse", help="files that cannot be used; default: refuse"
    )
    parser.add_argument("--overwrite", action="store_true", help="remove what another preparation has left")
    options = parser.parse_args(words)
    both = options.training & options.validation
    if both:
        parser.error(f"--training and --validation share the cells {', '.join(map(str, sorted(both)))}")
    names = {"data.broken": "--broken", "train.patch": "--patch"}
    run(lambda: prepare(options), spell=lambda setting: names.get(setting) or parser.spell(setting))


def _cells(text: str) -> frozenset[int]:
    from oidn_jax.data.pairs import parse_ranges

    try:
        return parse_ranges(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers and ranges, as 1-5,51") from error


def prepare(options: argparse.Namespace) -> None:
    """Checks the acquisitions of each specimen, then writes its patches."""
    from dataclasses import replace

    from oidn_jax.data.measured import find_measured
    from oidn_jax.data.pairs import BIOSR, ranges
    from oidn_jax.errors import InputError

    sets = [measured for measured in find_measured(options.root) if measured.layout == BIOSR and measured.has_targets]
    if not sets:
        raise InputError(f"{options.root} holds no cells of BioSR with targets; patches are cut from those")
    # Imported here, so that a wrong folder need not wait for jax.
    from oidn_jax.commands.progress import progress_bar
    from oidn_jax.training.measured import usable_pairs
    from oidn_jax.training.prepare import Preparation, prepare_patches

    for measured in sets:
        same = [str(other.root) for other in sets if other.name == measured.name]
        if len(same) > 1:
            raise InputError(f"{' and '.join(same)} would be prepared into one folder; give them one by one")
        for line in measured.missing:
            print(f"missing: {printable(line)}")
    counts = {"training": options.patches, "validation": options.validation_patches}
    preparation = Preparation(
        Path(options.out),
        counts,
        patch=options.patch,
        turn=not options.no_turn,
        seed=options.seed,
        overwrite=options.overwrite,
    )
    for measured in sets:
        wanted = {
            split: [
                pair
                for pair in measured.of_cells(getattr(options, split))
                if options.levels is None or pair.level in options.levels
            ]
            for split, count in counts.items()
            if count
        }
        for split in (split for split, some in wanted.items() if not some):
            count = "patches" if split == "training" else "validation_patches"
            raise InputError(
                f"{measured.root} has the cells {ranges(measured.cells)} at the levels {ranges(measured.levels)}, none "
                f"of them for {split}; give its cells as `{split}`, or 0 as `{count}`"
            )
        good = usable_pairs(measured, wanted, patch=options.patch, broken=options.broken, say=print)
        pairs = {split: [each.pair for each in some] for split, some in good.items()}
        told = (each.pixel_size_nm for some in good.values() for each in some)
        nm = next((size for size in told if size is not None), preparation.pixel_size_nm)
        with progress_bar() as progress:
            folder = prepare_patches(
                measured,
                pairs,
                replace(preparation, pixel_size_nm=nm),
                progress=lambda done, total, name=measured.name: progress(printable(name), done / total),
            )
        words = " and ".join(f"{counts[split]} patches for {split}" for split in pairs)
        print(f"{printable(str(folder))}: {words} of {options.patch} x {options.patch} raw pixels")


def _sheet(out: str | None, number: int, name: str, count: int) -> Path | None:
    """Where the contact sheet of a set goes, without suffix; sets of one name are numbered."""
    if out is None:
        return None
    plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in name) or "set"
    return Path(out) / (f"contact_{plain}" if count == 1 else f"contact_{number + 1}_{plain}")


def printable_lines(lines: list[str]) -> str:
    """Lines whose file names cannot disturb the terminal; leading spaces stay."""
    return "\n".join(line[: len(line) - len(line.lstrip())] + printable(line.lstrip()) for line in lines)
