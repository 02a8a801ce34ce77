"""Every setting there is, with the published values; the other files of this folder change some of them."""

from typing import Any

from ml_collections import ConfigDict


def _section(**fields) -> ConfigDict:
    return ConfigDict(fields)


def get_config() -> Any:
    """The complete ConfigDict, locked: a mistyped field is an error, not a new field."""
    config = ConfigDict()
    config.name = "default"
    config.seed = 0

    # The microscope. The network's PSF and the simulation refer to these fields.
    config.optics = _section(na=1.49, emission_wavelength_nm=525.0, pixel_size_nm=62.6)
    config.frames = _section(orientations=3, phases=3, scale=2)
    shared = {name: config.optics.get_ref(name) for name in config.optics} | {
        name: config.frames.get_ref(name) for name in config.frames
    }

    config.model = _section(  # oidn_jax.models.oidn.OIDN
        width=64,
        groups=4,
        blocks=4,
        psf_size=8,
        psf_init="theoretical",
        psf_normalisation="softmax",
        dtype="float32",
        remat=False,
        **shared,
    )

    config.simulation = _section(  # oidn_jax.simulation.acquisition.AcquisitionSettings
        otf_damping=0.175,
        illumination_na=1.41,
        excitation_wavelength_nm=488.0,
        illumination_na_spread=0.04,
        first_orientation_deg=84.8,
        orientation_spread_deg=5.0,
        phase_error_deg=3.0,
        modulation_depth=(0.5, 0.95),
        peak_photons=_section(low=50.0, medium=300.0, high=2000.0),
        read_noise=1.6,
        filaments_per_100_um2=(10.0, 60.0),
        filament_length_um=10.0,
        background=(0.0, 1.0),
        background_blur_um=0.6,
        margin=16,
        **shared,
    )

    config.data = _section(
        path="",  # empty: simulated data, drawn on the device
        normalisation="joint",  # over the frames of an acquisition; or "per_frame" as the authors' code does
    )

    config.loss = _section(  # weights of oidn_jax.losses.total_loss, and the padding of its SSIM
        weights=_section(
            mse=1.0, l1=0.0, ssim=0.1, frequency=0.01, psf_energy=1e-3, psf_symmetry=1e-3, psf_monotonicity=0.0
        ),
        ssim_padding="valid",
    )

    config.train = _section(
        steps=500_000,
        batch_size=4,  # over all devices
        patch=128,  # raw pixels
        learning_rate=1e-4,
        schedule="step",  # or "cosine": to zero at the last step
        decay_every=125_000,  # "step": 25 epochs of 20,000 patches
        decay_factor=0.1,
        warmup_steps=0,
        clip_norm=0.0,  # 0: no clipping
        ema_decay=0.0,  # 0: no moving average
        log_every=100,
        evaluate_every=2500,
        checkpoint_every=2500,
        resume_from="",  # a workdir whose last checkpoint this run continues
    )
    config.evaluation = _section(scenes=8, size=128, seed=1_000_003, panels=2)
    config.distributed = _section(enabled=False, coordinator="", num_processes=0, process_id=-1)
    return config.lock()
