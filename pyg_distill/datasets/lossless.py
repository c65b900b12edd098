"""Every tree of every graph, with its multiplicity."""

import torch

from pyg_distill.datasets.selection import ClassSummary, Selection
from pyg_distill.datasets.source import Source
from pyg_distill.trees import Forest
from pyg_distill.trees.csr import pointer


def select_lossless(source: Source, forest: Forest) -> Selection:
    """Selects all trees of all graphs.

    Args:
        source (Source): The graphs.
        forest (Forest): Their trees.

    Returns:
        Selection: One tree set a graph, in the order of the source.
    """
    tree = forest.distinct_by_graph()
    graph = forest.graphs.graph_of_node()
    num_graphs = forest.graphs.num_graphs
    num_roots = torch.bincount(graph[tree.first], minlength=num_graphs)

    overall = forest.distinct().inverse
    classes = {}
    for label in source.label.unique().tolist():
        members = source.label == label
        num_trees = overall[members[graph]].unique().numel()
        size = int(members.sum())
        classes[label] = ClassSummary(size, num_trees, size, 1.0, 1.0)

    return Selection(
        root=tree.first,
        root_count=tree.count,
        root_ptr=pointer(num_roots),
        label=source.label,
        support=torch.ones_like(source.label),
        classes=classes,
        attributes=source.attributes,
    )
