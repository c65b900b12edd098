"""Source -> distilled graphs and a report of what was done."""

from time import perf_counter

from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets.checks import check_repetition
from pyg_distill.datasets.lossless import select_lossless
from pyg_distill.datasets.options import MirageOptions
from pyg_distill.datasets.patterns import select_patterns
from pyg_distill.datasets.report import DistillationReport, Size
from pyg_distill.datasets.selection import Selection
from pyg_distill.datasets.source import Source
from pyg_distill.datasets.weights import sample_weights
from pyg_distill.transforms.tree_sets import tree_set_list
from pyg_distill.trees import Forest


def distil(
    source: Source, options: MirageOptions, log: bool
) -> tuple[list[Data], DistillationReport]:
    """Distils a source.

    Args:
        source (Source): The graphs and their labels.
        options (MirageOptions): What to keep.
        log (bool): Whether to show progress if it takes long.

    Returns:
        tuple: The distilled graphs and what was done.

    Raises:
        ValueError: If the source or the options leave nothing to keep, or too
            much.
    """
    start = perf_counter()
    forest = Forest(source.graphs, options.num_layers, options.verify)
    num_trees = forest.distinct().first.numel()
    by_pattern = options.selection == 'patterns'
    check_repetition(forest, num_trees, refuse=by_pattern)
    if by_pattern:
        chosen = select_patterns(source, forest, options.of_patterns, log)
    else:
        chosen = select_lossless(source, forest)
    graphs = _materialise(source, forest, chosen, options)
    report = DistillationReport(
        options=options.to_dict(),
        num_classes=source.num_classes,
        num_trees=num_trees,
        classes=chosen.classes,
        source=Size(
            source.graphs.num_graphs,
            source.graphs.num_nodes,
            source.graphs.num_edges,
            source.num_bytes,
        ),
        distilled=_size(graphs),
        left_out=sorted(
            {*source.left_out, *source.attributes} - {*chosen.attributes}
        ),
        seconds=perf_counter() - start,
    )
    return graphs, report


def _materialise(
    source: Source, forest: Forest, chosen: Selection, options: MirageOptions
) -> list[Data]:
    trees = forest.build(
        chosen.root, chosen.set_of_root(), chosen.num_sets, options.compact
    )
    graphs = tree_set_list(
        source.graphs,
        trees,
        chosen.root_count,
        chosen.root_ptr,
        forest.num_layers,
    )
    sizes = {c: kept.num_graphs for c, kept in chosen.classes.items()}
    weight = sample_weights(
        chosen.support, chosen.label, sizes, options.balance
    )
    y = chosen.label.view(-1, *[1] * (source.y_dim - 1))
    for i, data in enumerate(graphs):
        data.y = y[i : i + 1]
        data.support = chosen.support[i : i + 1]
        data.weight = weight[i : i + 1]
        for name, column in chosen.attributes.items():
            data[name] = column[i]
    return graphs


def _size(graphs: list[Data]) -> Size:
    tensors = [
        value
        for data in graphs
        for value in data.to_dict().values()
        if isinstance(value, Tensor)
    ]
    return Size(
        len(graphs),
        sum(int(data.num_nodes or 0) for data in graphs),
        sum(data.num_edges for data in graphs),
        sum(t.numel() * t.element_size() for t in tensors),
    )
