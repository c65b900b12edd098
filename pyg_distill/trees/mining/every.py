"""Every frequent set, by Eclat."""

from collections.abc import Iterator, Sequence

from pyg_distill.trees.mining.bitsets import Pattern
from pyg_distill.trees.mining.budget import Tick


def all_sets(
    columns: Sequence[Pattern],
    num_transactions: int,
    min_support: int,
    max_size: int,
    tick: Tick,
) -> Iterator[Pattern]:
    r"""Yields every frequent set, depth first.

    This is Eclat from the `"Scalable Algorithms for Association Mining"
    <https://doi.org/10.1109/69.846291>`_ paper. An item is only
    extended by items that precede it, so that a search that is stopped after
    :math:`N` sets has seen little more than :math:`\log_2 N` items of a block
    of items that all co-occur.

    Args:
        columns (list): The items as patterns.
        num_transactions (int): The number of transactions.
        min_support (int): The smallest support of a frequent set.
        max_size (int): The largest size of a set.
        tick (callable): Is told the amount of work about to be done.

    Yields:
        The frequent sets as patterns.
    """
    roots = [pair for pair in columns if pair[1].bit_count() >= min_support]
    roots.sort(key=lambda pair: -pair[1].bit_count())
    stack = [(0, 1, roots, enumerate(roots))]
    while stack:
        prefix, size, siblings, rest = stack[-1]
        for index, (bit, tids) in rest:
            items = prefix | bit
            yield items, tids
            if index == 0 or size >= max_size:
                continue
            tick(index)
            children = [
                (other, common)
                for other, others in siblings[:index]
                if (common := others & tids).bit_count() >= min_support
            ]
            if children:
                stack.append((items, size + 1, children, enumerate(children)))
                break
        else:
            stack.pop()
