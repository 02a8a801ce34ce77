"""Pictures of an evaluation: the panel of a training run, and the figures for print.

`save_panel` gives a quick look; the other modules draw what a journal prints: 88 or 180 mm wide, text of 7 and 8 pt,
colours that colour-blind readers can tell apart, each as PNG at 300 dpi and as PDF whose text is text. All are drawn
with matplotlib's objects, so that no global state or display is involved. Figures get arrays and numbers as they are
to be shown: they compute no physics and no scores.
"""

from oidn_jax.figures.training_panel import PSF_TITLE, save_panel

__all__ = ["PSF_TITLE", "save_panel"]
