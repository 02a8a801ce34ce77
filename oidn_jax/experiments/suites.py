"""The suites and presets, all of them: what is trained, and what it changes in the configuration of its specimen.

The first run of a suite is what the others are compared with. To add a run, add a line; to add a suite, an entry of
`SUITES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SPECIMENS = ("f_actin", "microtubules", "er", "ccps")


@dataclass(frozen=True)
class Run:
    """One configuration.

    Attributes:
        name: in print.
        changes: to the configuration, by "section.field". A `model.name` brings the other network's own fields.
        specimen: that it is trained on.
        timed_by: the run of the same network whose time per step was measured. Where given, this one is trained for as
            many seconds as the suite's first, not for as many steps.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    specimen: str = "f_actin"
    timed_by: str = ""


@dataclass(frozen=True)
class Suite:
    """Runs that are compared with each other.

    Attributes:
        title: of the report.
        runs: each with a name of its own.
        tested_on: specimens.
        classical: methods that are shown beside the networks.
        remark: what the reader of the report should know.
    """

    title: str
    runs: tuple[Run, ...]
    tested_on: tuple[str, ...] = ("f_actin",)
    classical: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Preset:
    """How large everything is.

    Attributes:
        variant: of the specimen's configuration, "quick" or "paper".
        seeds: trainings of each run.
        changes: to every configuration, by "section.field", before those of the run.
        sizes: fields of networks, for those that have them.
    """

    variant: str
    seeds: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)


NO_PSF_TERMS = {"loss.weights.psf_energy": 0.0, "loss.weights.psf_symmetry": 0.0}
CODE_LOSS = {
    **NO_PSF_TERMS,
    "loss.weights.mse": 0.0,
    "loss.weights.l1": 0.9,
    "loss.weights.psf_monotonicity": 1e-3,
    "loss.ssim_padding": "zero",
}

ABLATION = (
    Run("OIDN"),
    Run("without CE", {"loss.weights.psf_energy": 0.0}),
    Run("without RS", {"loss.weights.psf_symmetry": 0.0}),
    Run("without frequency loss", {"loss.weights.frequency": 0.0}),
    Run("without SSIM loss", {"loss.weights.ssim": 0.0}),
    Run("code's loss", CODE_LOSS),
    Run("without PSF head", {"model.degradation": "sum", **NO_PSF_TERMS}),
    Run("without frequency attention", {"model.attention": "spatial"}),
    Run("without spatial attention", {"model.attention": "frequency"}),
    Run("without dynamic weights", {"model.domain_weights": "equal"}),
    Run("frames normalised one by one", {"data.normalisation": "per_frame"}),
)

NETWORKS = (
    Run("OIDN"),
    Run("APCAN", {"model.name": "apcan"}),
    Run("DFCAN", {"model.name": "dfcan"}),
    Run("RCAN", {"model.name": "rcan"}),
    Run("U-Net", {"model.name": "unet"}),
    Run(
        "guided OIDN",
        {
            "model.name": "guided",
            "model.body": "oidn",
            "loss.weights.error": 0.0,  # which this body does not expect
            "loss.weights.psf_energy": 1e-3,
            "loss.weights.psf_symmetry": 1e-3,
        },
    ),
)
AS_LONG = tuple(Run(f"{run.name}, equal time", run.changes, timed_by=run.name) for run in NETWORKS[1:])

GENERALISATION = tuple(Run(f"OIDN on {specimen}", specimen=specimen) for specimen in SPECIMENS)

PSF = (
    Run("theoretical, softmax"),
    Run("authors' start, softmax", {"model.psf_init": "authors"}),
    Run("theoretical, free", {"model.psf_normalisation": "none"}),
    Run("authors' start, free", {"model.psf_init": "authors", "model.psf_normalisation": "none"}),
    Run("softmax, without RS", {"loss.weights.psf_symmetry": 0.0}),
    Run("free, without CE", {"model.psf_normalisation": "none", "loss.weights.psf_energy": 0.0}),
    Run("free, without CE and RS", {"model.psf_normalisation": "none", **NO_PSF_TERMS}),
)

SUITES = {
    "ablation": Suite(
        "What each part of OIDN brings",
        ABLATION,
        remark="CE is 0 by construction where the PSF is a softmax, so leaving it out must change nothing: the suite "
        "'psf' has it where it counts.",
    ),
    "baselines": Suite(
        "Networks at equal budget",
        (*NETWORKS, *AS_LONG),
        classical=("wiener",),
        remark="Each network is trained for as many steps as OIDN, and once more (equal time) for as many seconds.",
    ),
    "generalisation": Suite(
        "Trained on one specimen, tested on all",
        GENERALISATION,
        tested_on=SPECIMENS,
        classical=("wiener",),
    ),
    "psf": Suite(
        "The learned PSF: its start, its normalisation and its losses",
        PSF,
        remark="A free PSF is the learnable values themselves, without softmax.",
    ),
}

PRESETS = {
    # Small networks, 33 trainings of about a minute on two cores for the longest suite.
    "quick": Preset(
        variant="quick",
        seeds=3,
        changes={
            "train.steps": 200,
            "train.patch": 48,
            "train.warmup_steps": 20,
            "train.checkpoint_every": 100,
            "evaluation.scenes": 4,
            "evaluation.size": 96,
        },
        sizes={"width": 16, "groups": 2, "blocks": 2, "widths": (16, 32, 64)},
    ),
    # The published setting: half a million steps at width 64, for accelerators.
    "paper": Preset(variant="paper", seeds=3, changes={"evaluation.scenes": 16}),
}
