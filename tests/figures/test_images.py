"""The contrast stretch and the scale bar that all figures share."""

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox
from matplotlib.text import Text

from oidn_jax.figures import layout
from oidn_jax.figures.images import draw_image, scale_bar_um, stretch
from oidn_jax.figures.style import figure_style
from tests.figures.examples import PIXEL_NM, picture


def test_the_stretch_leaves_a_thousandth_on_either_side():
    image = np.random.default_rng(0).permutation(10_001.0 - np.arange(10_001.0)).reshape(73, 137)
    assert stretch(image) == pytest.approx((11, 9991))
    image[0, :2] = np.nan, np.inf
    low, high = stretch(image)
    assert 10 < low < 13
    assert 9980 < high < 9992
    assert stretch(np.full((4, 4), np.nan)) == (0, 1)
    assert stretch(image, percentiles=(0.0, 100.0)) == (np.nanmin(image), image[np.isfinite(image)].max())


@pytest.mark.parametrize(
    ("width_um", "length_um"),
    [(4.0, 1), (7.9, 1), (8.0, 2), (19.9, 2), (20.0, 5), (64.0, 10), (2.8, 0.5), (0.05, 0.01)],
)
def test_scale_bars_are_round_numbers(width_um, length_um):
    assert scale_bar_um(width_um) == pytest.approx(length_um)


@pytest.mark.parametrize(("side", "length_um"), [(64, 0.5), (256, 2.0), (1024, 5.0)])
def test_scale_bars_are_true_and_inside_the_image(side, length_um):
    with figure_style():
        figure = layout.new_figure(50.0, 50.0)
        axes = layout.add_axes(figure, (1.0, 1.0, 48.0, 48.0))
        draw_image(axes, picture(0, side), pixel_size_nm=PIXEL_NM)
        figure.draw_without_rendering()
        (box,) = axes.findobj(AnchoredOffsetbox)
        (bar,) = box.findobj(Line2D)
        left, right = bar.get_transform().transform(bar.get_xydata())[:, 0]
        drawn_px = (right - left) / axes.get_window_extent().width * side
        assert drawn_px * PIXEL_NM / 1000 == pytest.approx(length_um)
        inside, extent = axes.get_window_extent(), box.get_window_extent()
        assert inside.x0 < left
        assert inside.x0 + inside.width / 2 < extent.x0 < extent.x1 < inside.x1
        assert inside.y0 < extent.y0 < extent.y1 < inside.y0 + inside.height / 2
        (label,) = [text.get_text() for text in box.findobj(Text)]
        assert label == ("500 nm" if length_um < 1 else f"{length_um:g} µm")


def test_without_a_pixel_size_there_is_no_scale_bar():
    figure = layout.new_figure(50.0, 50.0)
    axes = layout.add_axes(figure, (1.0, 1.0, 48.0, 48.0))
    drawn = draw_image(axes, picture(), limits=(0.0, 2.0))
    assert drawn.get_clim() == (0, 2)
    assert not axes.findobj(AnchoredOffsetbox)
