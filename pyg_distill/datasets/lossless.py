"""Every tree of every graph, with its multiplicity."""

import torch

from pyg_distill.datasets.counting.census import ClassCensus
from pyg_distill.datasets.counting.part import Part
from pyg_distill.datasets.selection import ClassSummary, Selection
from pyg_distill.trees.csr import pointer


def select_lossless(part: Part) -> Selection:
    """Selects all trees of all graphs.

    Args:
        part (Part): The graphs.

    Returns:
        Selection: One tree set a graph, in the order of the source.
    """
    forest, source = part.forest, part.source
    tree = forest.distinct_by_graph()
    graph = forest.graphs.graph_of_node()
    num_graphs = forest.graphs.num_graphs
    num_roots = torch.bincount(graph[tree.first], minlength=num_graphs)
    return Selection(
        root=tree.first,
        root_count=tree.count,
        root_ptr=pointer(num_roots),
        label=source.label,
        support=torch.ones_like(source.label),
        attributes=source.attributes,
    )


def summarise_lossless(
    classes: dict[int, ClassCensus],
) -> dict[int, ClassSummary]:
    """What is kept of each class, which is everything.

    Args:
        classes (dict): What is known of each class.
    """
    return {
        label: ClassSummary(
            num_graphs=known.num_graphs,
            num_trees=known.num_trees,
            num_sets=known.num_graphs,
            graph_coverage=1.0,
            node_coverage=1.0,
        )
        for label, known in classes.items()
    }
