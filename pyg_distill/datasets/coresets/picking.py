"""Graphs, options and what bytes cost -> the graphs that are kept."""

from collections.abc import Iterator
from math import ceil
from typing import Any

import torch
from torch import Tensor

from pyg_distill.datasets.coresets.by_class import order_by_class
from pyg_distill.datasets.coresets.herding import herding_steps
from pyg_distill.datasets.coresets.k_center import k_center_steps
from pyg_distill.datasets.coresets.options import BY_EMBEDDING, CoresetOptions
from pyg_distill.datasets.coresets.points import check_embedding
from pyg_distill.datasets.coresets.proportions import (
    ClassOrders,
    Cost,
    class_turns,
    fill,
)
from pyg_distill.datasets.coresets.random_order import random_order
from pyg_distill.datasets.counting.part import Part
from pyg_distill.datasets.reading.source import Source
from pyg_distill.trees import tree_histograms

# Of more distinct trees than this, hardly any are shared.
_SHARE = 0.9
_STEPS = {'herding': herding_steps, 'k_center': k_center_steps}


def pick(
    source: Source,
    given: Any,
    options: CoresetOptions,
    cost: Cost,
    total: int | None,
) -> Tensor:
    """Picks the graphs of a coreset.

    Args:
        source (Source): The graphs.
        given (Dataset or list): The same, as an embedding function wants them.
        options (CoresetOptions): How many to pick, and which.
        cost (callable): The bytes of some graphs.
        total (int, optional): The bytes of all graphs, of which a budget may
            be a share.

    Returns:
        torch.Tensor: The graphs, class by class, each in the order in which
        they were picked; all graphs in their own order if all are kept.

    Raises:
        ValueError: If there is not room for one graph a class, or not that
            many graphs.
    """
    label = source.label.cpu()
    if options.method == 'full':
        return torch.arange(label.numel())
    present, count = label.unique(return_counts=True)
    turns = class_turns(
        dict(zip(present.tolist(), count.tolist(), strict=True))
    )
    num_classes = present.numel()
    if options.num_graphs is not None:
        _check_num_graphs(options.num_graphs, num_classes, label.numel())
    orders = ClassOrders(_orders(source, given, options))
    if options.num_graphs is not None:
        return orders.first_of(turns[: options.num_graphs])

    room = (options.budget or 0) * (1 if total is None else total)
    chosen = fill(turns, orders, cost, room)
    if chosen.numel() == 0:
        least = cost(orders.first_of(turns[:num_classes]))
        raise ValueError(_too_small(options.budget, num_classes, least, total))
    return chosen


def _too_small(
    budget: float | None, num_classes: int, least: int, total: int | None
) -> str:
    got, works = f'{budget}', f'{least} bytes'
    if total is not None:
        # Rounded up, so that it works when it is passed back.
        share = ceil(least / total * 1e6) / 1e6
        got += f', which is {int((budget or 0) * total)} of {total} bytes'
        works = f'{share:.6f}, which is {works}'
    return (
        f"'budget' is too small for one graph of each of {num_classes} "
        f'classes (got {got}); the smallest that works is {works}'
    )


def _check_num_graphs(num_graphs: int, least: int, most: int) -> None:
    if num_graphs < least:
        raise ValueError(
            f"'num_graphs' must be at least {least}, one a class (got "
            f'{num_graphs}); pass {least} or more'
        )
    if num_graphs > most:
        raise ValueError(
            f"'num_graphs' must be at most {most}, the graphs of the source "
            f"(got {num_graphs}); pass method='full' to keep all"
        )


def _orders(
    source: Source, given: Any, options: CoresetOptions
) -> dict[int, Iterator[int]]:
    label = source.label.cpu()
    if options.method in BY_EMBEDDING:
        embedding = _embed(source, given, options)
        return order_by_class(_STEPS[options.method], embedding, label)
    order = random_order(label.numel(), options.seed)
    return {
        c: iter(order[label[order] == c].tolist())
        for c in label.unique().tolist()
    }


def _embed(source: Source, given: Any, options: CoresetOptions) -> Tensor:
    wanted = options.embedding
    if isinstance(wanted, str):
        return _count_trees(source, options).cpu()
    embedding = wanted if isinstance(wanted, Tensor) else wanted(given)
    num_graphs = source.label.numel()
    check_embedding(embedding)
    if embedding.size(0) != num_graphs:
        raise ValueError(
            f"'embedding' must have one row a graph (got "
            f'{embedding.size(0)} rows for {num_graphs} graphs); embed the '
            f'split that is passed, in its order'
        )
    return embedding.detach().cpu()


def _count_trees(source: Source, options: CoresetOptions) -> Tensor:
    part = Part(source, options.num_layers, verify=False)
    histogram = tree_histograms(
        part.forest, options.depths, normalize=options.normalize
    )
    num_depths = 1 if options.depths == 'last' else options.num_layers + 1
    counted = part.forest.graphs.num_nodes * num_depths
    if histogram.size(1) > _SHARE * counted and (names := part.continuous()):
        raise ValueError(
            f"embedding='trees' compares graphs by trees that they share, but "
            f'{histogram.size(1)} of {counted} trees are distinct, since '
            f'{", ".join(sorted(names))} holds continuous values; round or bin '
            f'them, or pass the embedding of a model'
        )
    return histogram
