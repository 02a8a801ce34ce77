"""Reconstruct raw SIM files and judge the images.

python reconstruct.py cell.tif more/*.mrc --workdir=runs/f_actin --out=reconstructed --preview
python reconstruct.py cell.tif --method=wiener --na=1.49 --emission-nm=525 --out=reconstructed --trust --diagnostics
python reconstruct.py cell.tif --image=made_elsewhere.tif --out=judged
"""

from pathlib import Path

from configs.command_line import load_config, run_script
from configs.reconstruct_flags import parse


def main() -> None:
    """Parse the flags, prepare the method, reconstruct the files."""
    options = parse()
    # Imported here, so that --help and wrong flags need not wait for jax.
    import oidn_jax
    from oidn_jax import reconstruction as rec
    from oidn_jax.optics.microscope import Microscope
    from oidn_jax.data import read_radial_otf

    config = load_config(options.config or "configs/default.py")
    if options.image is not None:
        method = rec.GivenImage(options.image)
    elif options.method == "oidn":
        model = oidn_jax.load(options.workdir, checkpoint=options.checkpoint)
        method = rec.NetworkMethod(model, tile=options.tile, overlap=options.overlap)
        config = config if options.config else model.config
    else:
        numbers = {"wiener": options.wiener, "attenuation": options.attenuation, "w1": options.w1}
        method = rec.ClassicalMethod(options.method, **numbers, iterations=options.rl_iterations)
    microscope = Microscope.from_config(config).with_optics(
        na=options.na,
        emission_wavelength_nm=options.emission_nm,
        otf_damping=options.otf_damping,
        measured=read_radial_otf(options.otf) if options.otf else None,
    )
    reading = rec.Reading(
        frame_order=options.frame_order,
        pixel_size_nm=options.pixel_size_nm,
        camera=rec.CameraSettings(options.camera_gain, options.camera_offset, options.read_noise),
        known=rec.KnownIllumination(Path(options.illumination), options.refit_phases) if options.illumination else None,
    )
    outputs = rec.Outputs(options.preview, options.diagnostics, options.trust, options.overwrite)
    with rec.progress_bar() as progress:
        how = {"microscope": microscope, "reading": reading, "outputs": outputs, "talk": rec.Talk(progress=progress)}
        rec.reconstruct_files(options.inputs, method, options.out, **how)


if __name__ == "__main__":
    run_script(main)
