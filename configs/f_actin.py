"""F-actin with the paper's setting: width 64, 4 x 4 blocks, patches of 128, batch 4, Adam 1e-4.

    python train.py --config=configs/f_actin.py --workdir=runs/f_actin
    python train.py --config=configs/f_actin.py:quick --workdir=runs/quick

`quick` is a small network (see docs/benchmarks.md for its time and scores) that learns on a laptop.
"""

from typing import Any

from configs import default


def get_config(variant: str = "paper") -> Any:
    """The configuration of a variant: `paper` or `quick`."""
    config = default.get_config()
    config.name = f"f_actin:{variant}"
    if variant == "quick":
        config.model.update(width=16, groups=2, blocks=2)
        config.train.update(
            steps=500,
            patch=64,
            learning_rate=2e-3,
            schedule="cosine",
            warmup_steps=50,
            clip_norm=1.0,
            ema_decay=0.98,
            log_every=20,
            evaluate_every=125,
            checkpoint_every=125,
        )
        config.evaluation.update(scenes=4)
    elif variant != "paper":
        raise ValueError(f"configs/f_actin.py has no variant {variant!r}; legal: paper, quick")
    return config
