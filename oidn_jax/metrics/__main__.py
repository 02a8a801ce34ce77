"""Measure the resolution of an image, or of two images of one object.

python -m oidn_jax.metrics IMAGE [IMAGE2] [--pixel-size-nm=31.3] [--json] [--plot=FILE] [--map=FILE]
"""

import json
import sys

from configs.command_line import run_script
from configs.metrics_flags import map_settings, parse


def main() -> None:
    """Parse, measure, print."""
    flags = parse()
    # Imported here, so that --help and wrong flags need not wait for jax.
    from oidn_jax.evaluation import measured_image as files
    from oidn_jax.evaluation import measurement as of
    from oidn_jax.figures.measurement import check_plot, save_measurement
    from oidn_jax.evaluation.files import finite_or_none
    from oidn_jax.resolution.text import format_lines, to_json
    from oidn_jax.reconstruction import progress_bar

    options = of.rolling_options(map_settings(flags))
    files.check_spared(flags.images, [flags.plot, flags.map])
    check_plot(flags.plot, overwrite=flags.overwrite)
    of.check_map(flags.map, overwrite=flags.overwrite)
    images = [files.read_measured(path, pixel_size_nm=flags.pixel_size_nm, index=flags.index) for path in flags.images]
    for line in files.remarks(images):
        print(f"warning: {line}", file=sys.stderr)
    with progress_bar() as bar:
        how = {"rolling": not flags.no_rolling, "options": options, "sectors": flags.sectors or 0}
        how["other"] = images[1] if len(images) == 2 else None
        found = of.measure(images[0], **how, progress=lambda fraction: bar("rolling FRC", fraction))
    text = json.dumps(finite_or_none(to_json(found)), indent=1) if flags.json else "\n".join(format_lines(found))
    print(text, flush=True)
    if flags.plot:
        save_measurement(flags.plot, found)
    if flags.map:
        of.write_map(flags.map, found, overwrite=flags.overwrite)


if __name__ == "__main__":
    run_script(main)
