"""Sources that distilling by computation trees cannot help."""

import warnings

from pyg_distill.datasets.counting.census import Census

_SHARE = 0.9


def check_repetition(census: Census, num_layers: int, refuse: bool) -> None:
    """Refuses continuous features, for which hardly any tree repeats.

    Args:
        census (Census): What is known of the source.
        num_layers (int): The depth of the trees.
        refuse (bool): Whether to raise an error or only to warn.

    Raises:
        ValueError: If a feature is not integral, more than 90 % of the trees
            are distinct, and :obj:`refuse` is set.
    """
    num_trees = census.counts.num_trees()
    if num_trees <= _SHARE * census.num_nodes or not census.continuous:
        return
    order = ('x', 'edge_attr', 'edge_weight')
    names = [f"'{name}'" for name in order if name in census.continuous]
    message = (
        f'{num_trees:,} of {census.num_nodes:,} computation trees of depth '
        f'{num_layers} are distinct, since {" and ".join(names)} '
        f'holds continuous values, so trees hardly repeat; round or bin them, '
        f'leave them out with exclude_keys=[...], or lower num_layers'
    )
    if refuse:
        raise ValueError(message)
    warnings.warn(message, stacklevel=2)
