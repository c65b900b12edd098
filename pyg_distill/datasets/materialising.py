"""Selected tree sets -> graphs, and graphs -> one set of tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.data.separate import separate

from pyg_distill.datasets.selection import Selection
from pyg_distill.datasets.weights import sample_weights
from pyg_distill.transforms.tree_sets import tree_set_list
from pyg_distill.trees import Forest

Collated = tuple[Data, dict[str, Tensor] | None]


def materialise(
    forest: Forest, chosen: Selection, compact: bool, y_dim: int
) -> list[Data]:
    """Builds the tree sets that were selected.

    Args:
        forest (Forest): Where the roots are.
        chosen (Selection): The tree sets.
        compact (bool): Whether equal subtrees are shared.
        y_dim (int): The number of dimensions that :obj:`y` is to have.
    """
    trees = forest.build(
        chosen.root, chosen.set_of_root(), chosen.num_sets, compact
    )
    graphs = tree_set_list(
        forest.graphs,
        trees,
        chosen.root_count,
        chosen.root_ptr,
        forest.num_layers,
    )
    y = chosen.label.view(-1, *[1] * (y_dim - 1))
    for i, data in enumerate(graphs):
        data.y = y[i : i + 1]
        data.support = chosen.support[i : i + 1]
        for name, column in chosen.attributes.items():
            data[name] = column[i]
    return graphs


def add_weights(
    graphs: Sequence[Data], num_graphs: dict[int, int], balance: str
) -> None:
    """Gives each graph its weight in the loss.

    Args:
        graphs (list): The distilled graphs.
        num_graphs (dict): The graphs of each class in the source.
        balance (str): See :meth:`sample_weights`.
    """
    support = torch.cat([data.support for data in graphs])
    label = torch.cat([data.y.view(-1) for data in graphs])
    weight = sample_weights(support, label, num_graphs, balance)
    for i, data in enumerate(graphs):
        data.weight = weight[i : i + 1]


def add_graph_weights(
    collated: Collated, num_graphs: dict[int, int], balance: str
) -> Collated:
    """Gives whole graphs a support of one each, and their weights.

    Args:
        collated (tuple): The graphs, without either.
        num_graphs (dict): The graphs of each class in the source.
        balance (str): See :meth:`sample_weights`.
    """
    data, slices = collated
    label = data.y.view(-1)
    data.support = torch.ones_like(label)
    data.weight = sample_weights(data.support, label, num_graphs, balance)
    if slices is not None:
        every = torch.arange(label.numel() + 1)
        slices = slices | {'support': every, 'weight': every.clone()}
    return data, slices


def split(collated: Collated) -> list[Data]:
    """Cuts collated graphs apart, the inverse of PyG's :meth:`collate`."""
    data, slices = collated
    if slices is None:
        return [data]
    num_graphs = next(iter(slices.values())).numel() - 1
    return [
        separate(
            cls=Data, batch=data, idx=i, slice_dict=slices, decrement=False
        )
        for i in range(num_graphs)
    ]


def to_cpu(graphs: Sequence[Data]) -> Collated:
    """Collates graphs for another process."""
    return InMemoryDataset.collate([data.cpu() for data in graphs])
