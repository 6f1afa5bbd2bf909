"""Draw several plots into one small PNG file with matplotlib, the same file for the same figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette: distinguishable with any colour vision, and by lightness in grey print.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
DPI, COLOURS = 110, 64


def save(
    path: Path,
    draw: Sequence[Callable[[Axes], None]],
    title: str,
    columns: int = 2,
    size: tuple[float, float] = (4.4, 3.6),
    colours: int = COLOURS,
) -> None:
    """Draw each plot on its own axes, in rows of `columns`, and write a PNG of at most so many colours.

    size: of a plot, in inches.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = -(-len(draw) // columns), min(len(draw), columns)
    style = {"font.size": 8.5, "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False}
    style |= {"axes.spines.top": False, "axes.spines.right": False}
    with rc_context(style):
        # Figure and Agg canvas without pyplot, which has global state and may need a display.
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        figure.suptitle(title, size=9.5)
        for number, plot in enumerate(draw, start=1):
            plot(figure.add_subplot(rows, columns, number))
        canvas.draw()  # once; savefig would draw it twice
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # A palette reduces the size to a third. No date and no program version: equal figures give an identical file.
    image.quantize(colours, dither=Image.Dither.NONE).save(path, format="PNG", optimize=True)
