"""Sources that distilling by computation trees cannot help."""

import warnings

from torch import Tensor

from pyg_distill.trees import Forest, Graphs

_SHARE = 0.9


def check_repetition(forest: Forest, num_trees: int, refuse: bool) -> None:
    """Refuses continuous features, for which hardly any tree repeats.

    Args:
        forest (Forest): The trees of the source.
        num_trees (int): The number of distinct ones.
        refuse (bool): Whether to raise an error or only to warn.

    Raises:
        ValueError: If a feature is not integral, more than 90 % of the trees
            are distinct, and :obj:`refuse` is set.
    """
    graphs = forest.graphs
    if num_trees <= _SHARE * graphs.num_nodes:
        return
    names = _continuous(graphs)
    if not names:
        return
    message = (
        f'{num_trees:,} of {graphs.num_nodes:,} computation trees of depth '
        f'{forest.num_layers} are distinct, since {" and ".join(names)} '
        f'holds continuous values, so trees hardly repeat; round or bin them, '
        f'leave them out with exclude_keys=[...], or lower num_layers'
    )
    if refuse:
        raise ValueError(message)
    warnings.warn(message, stacklevel=2)


def _continuous(graphs: Graphs) -> list[str]:
    out = []
    for name in ('x', 'edge_attr', 'edge_weight'):
        value: Tensor | None = getattr(graphs, name)
        if (
            value is not None
            and value.is_floating_point()
            and bool((value != value.round()).any())
        ):
            out.append(f"'{name}'")
    return out
