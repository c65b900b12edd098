"""Colours, markers and lines that are told apart whatever one's sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), without black; the pale ones come last, since lines of
# them are hard to see on white.
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
# A line never differs by its colour alone.
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '*')
LINES = ('-', '--', '-.', ':')
COLORMAP = 'cividis'
MUTED = 0.45
TIMES, MINUS = '\u00d7', '\u2212'


def new_axes(
    ax: Axes | None, width: float, height: float
) -> tuple[Figure, Axes]:
    """The given axes, or those of a new figure.

    Args:
        ax (matplotlib.axes.Axes, optional): The axes to draw into.
        width (float): The width of a new figure in inches.
        height (float): Its height.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If :obj:`ax` is something else.
    """
    try:
        import matplotlib.pyplot as plt
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError(
            'matplotlib is needed to plot (not installed); pip install '
            "'pyg_distill[plot]'"
        ) from error
    if ax is None:
        return plt.subplots(figsize=(width, height), layout='constrained')
    if not isinstance(ax, Axes):
        raise TypeError(
            f"'ax' must be one matplotlib axes (got {type(ax).__name__}); "
            f'pass one of those that plt.subplots() returns'
        )
    return figure_of(ax), ax


def figure_of(ax: Axes) -> Figure:
    """The whole figure that axes are in, also those of a subfigure."""
    fig: Any = ax.figure
    return fig.figure


def tidy(ax: Axes, grid: Literal['x', 'y', 'both'] = 'both') -> None:
    """Takes away what carries no data, and lays a faint grid below.

    Args:
        ax (matplotlib.axes.Axes): The axes.
        grid (str, optional): The axis whose grid is drawn.
            (default: :obj:`"both"`)
    """
    ax.spines[['top', 'right']].set_visible(False)
    ax.grid(
        True,
        axis=grid,
        which='major',
        color=foreground(),
        alpha=0.15,
        linewidth=0.6,
        linestyle='-',
    )
    ax.set_axisbelow(True)


def log_scale(ax: Axes) -> None:
    """Makes the horizontal axis logarithmic, with numbers in full.

    Args:
        ax (matplotlib.axes.Axes): The axes, complete.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.set_xscale('log')
    low, high = ax.get_xlim()
    # Within few powers of ten there would hardly be a number.
    steps = (1.0, 2.0, 5.0) if high < 200 * low else (1.0,)
    ax.xaxis.set_major_locator(LogLocator(subs=steps))
    ax.xaxis.set_major_formatter(StrMethodFormatter('{x:,.6g}'))
    ax.xaxis.set_minor_formatter(NullFormatter())


def color(index: int) -> str:
    """The colour of the category of some number."""
    return PALETTE[index % len(PALETTE)]


def line_style(index: int) -> dict[str, Any]:
    """The keywords of the line of some number, apart from its marker."""
    return {
        'color': PALETTE[index % 6],
        'linestyle': LINES[index % len(LINES)],
    }


def text_on(fill: Any) -> str:
    """The colour of text that stands out from the colour behind it.

    It maximises the contrast ratio of the Web Content Accessibility
    Guidelines (2.1, relative luminance).

    Args:
        fill (Any): A colour of matplotlib.
    """
    from matplotlib.colors import to_rgb

    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in to_rgb(fill)
    ]
    weights = (0.2126, 0.7152, 0.0722)
    luminance = sum(w * c for w, c in zip(weights, linear, strict=True))
    on_white, on_black = 1.05 / (luminance + 0.05), (luminance + 0.05) / 0.05
    return 'white' if on_white > on_black else 'black'


def foreground() -> str:
    """The colour of text in the style that is set."""
    import matplotlib as mpl

    return mpl.rcParams['text.color']
