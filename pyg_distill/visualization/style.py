"""The colours, markers, lines and axes that all figures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pyg_distill.evaluation import result as evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008) without black: told apart by colour-blind readers. The
# pale ones come last, since lines of them are hard to see on white.
PALETTE = (
    '#0072B2',
    '#D55E00',
    '#009E73',
    '#CC79A7',
    '#E69F00',
    '#56B4E9',
    '#F0E442',
    '#999999',
)
# Lines never differ by colour alone.
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '*')
LINES = ('-', '--', '-.', ':')
COLORMAP = 'cividis'
MUTED = 0.45
TIMES, MINUS = '\u00d7', '\u2212'


def require(name: str) -> Any:
    """Imports a package that only figures need."""
    return evaluation.require(name, 'visualization', 'plot')


def new_axes(
    ax: Axes | None, width: float = 6.4, height: float = 4.2
) -> tuple[Figure, Axes]:
    """Returns the given axes, or those of a new figure, with their figure."""
    plt = require('matplotlib.pyplot')
    if ax is None:
        return plt.subplots(figsize=(width, height), layout='constrained')
    if not isinstance(ax, plt.Axes):
        raise TypeError(
            f"'ax' must be one matplotlib axes (got {type(ax).__name__}); "
            f'pass one of those that plt.subplots() returns'
        )
    return figure_of(ax), ax


def figure_of(ax: Axes) -> Figure:
    """Returns the whole figure, also for axes of a subfigure."""
    fig: Any = ax.figure
    return fig.figure


def tidy(ax: Axes, grid: Literal['x', 'y', 'both'] = 'both') -> None:
    """Removes the upper and right spine, and draws a faint grid."""
    ax.spines[['top', 'right']].set_visible(False)
    line: dict[str, Any] = {'color': foreground(), 'alpha': 0.15}
    ax.grid(True, axis=grid, which='major', lw=0.6, linestyle='-', **line)
    ax.set_axisbelow(True)


def log_scale(ax: Axes) -> None:
    """Makes the horizontal axis logarithmic, with plain numbers as ticks."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.set_xscale('log')
    low, high = ax.get_xlim()
    # Powers of ten alone are too few ticks on a short axis.
    steps = (1.0, 2.0, 5.0) if high < 200 * low else (1.0,)
    ax.xaxis.set_major_locator(LogLocator(subs=steps))
    ax.xaxis.set_major_formatter(StrMethodFormatter('{x:,.6g}'))
    ax.xaxis.set_minor_formatter(NullFormatter())


def line_style(index: int) -> dict[str, Any]:
    """Returns the colour and the dashes of a line."""
    return {'color': PALETTE[index % 6], 'linestyle': LINES[index % 4]}


def text_on(fill: Any) -> str:
    """Returns black or white, whichever contrasts more with a colour.

    The contrast is that of the Web Content Accessibility Guidelines 2.1.
    """
    from matplotlib.colors import to_rgb

    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in to_rgb(fill)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 'white' if (luminance + 0.05) ** 2 < 1.05 * 0.05 else 'black'


def foreground() -> str:
    """Returns the text colour of the current style."""
    return require('matplotlib').rcParams['text.color']


def background(ax: Axes) -> Any:
    """Returns the colour behind the drawing."""
    face: Any = ax.get_facecolor()
    return face if face[3] > 0 else figure_of(ax).get_facecolor()
