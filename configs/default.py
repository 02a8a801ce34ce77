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

    config.simulation = _section(  # oidn_jax.simulation.settings.AcquisitionSettings, which says what the fields mean
        specimen="f_actin",
        density=(2.0, 9.0),  # µm of filament per µm^2 (ccps: pits per µm^2); each scene draws its own
        brightness_variation=0.4,
        labels_per_um=150.0,
        background=(0.0, 1.0),  # out-of-focus light, of the in-focus mean; in TIRF little of it is excited
        background_blur_um=0.6,
        background_depth_nm=300.0,
        sample_index=1.38,
        otf_damping=0.175,
        illumination_na=1.41,
        excitation_wavelength_nm=488.0,
        illumination_na_spread=0.01,
        wave_vector_jitter=0.002,
        # The three published sets of the laboratory that recorded BioSR.
        orientation_sets_deg=((84.8, 144.8, 204.8), (-95.1, -35.1, 24.9), (90.0, 150.0, 210.0)),
        orientation_spread_deg=3.0,
        phase_error_deg=3.0,
        modulation_depth=(0.5, 0.95),
        orientation_brightness=0.05,
        frame_brightness=0.01,
        bleaching_per_frame=(0.0, 0.005),
        # Signal levels, mean photons over the foreground, and their names; BioSR gives neither as a table.
        mean_photons=(15.0, 24.0, 38.0, 60.0, 95.0, 150.0, 240.0, 380.0, 600.0),
        fluorescence=_section(low=(1, 2, 3), medium=(4, 5, 6), high=(7, 8, 9)),
        gain=1.0,
        offset=100.0,
        read_noise=1.6,
        saturation=65535.0,
        integrate_pixel=False,
        target="ideal",  # or "classical": Wiener SIM of a bright acquisition, as BioSR's
        target_photons=3000.0,
        target_wiener=0.02,
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
    config.evaluation = _section(
        scenes=8,
        size=128,  # raw pixels
        seed=1_000_003,
        panels=2,  # scenes that are shown
        rolling_block=64,  # of rFRC maps, pixels of the super-resolved image
        rolling_skip=8,
    )
    config.distributed = _section(enabled=False, coordinator="", num_processes=0, process_id=-1)
    return config.lock()
