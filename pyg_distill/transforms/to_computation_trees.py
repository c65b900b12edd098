"""Graph -> the set of its distinct computation trees."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_distill.transforms.levels import check_exclude_keys
from pyg_distill.transforms.own_names import OF_TREE_SETS, refuse_own_names
from pyg_distill.transforms.reading import read_graph
from pyg_distill.transforms.tree_sets import tree_set_list
from pyg_distill.trees import Forest


@functional_transform('to_computation_trees')
class ToComputationTrees(BaseTransform):
    r"""Turns a graph into the multiset of its computation trees.

    An :math:`L`-layer message passing network sees a graph as the multiset of
    its nodes' :math:`L`-hop computation trees (Gupta et al., `"Mirage:
    Model-Agnostic Graph Distillation for Graph Classification"
    <https://arxiv.org/abs/2310.09486>`_, ICLR 2024, Section 3.1). Equal trees
    are stored once, with their number, so that the readout over the roots is
    that over the nodes of the graph
    (functional name: :obj:`to_computation_trees`).

    The result has the attributes

    - :obj:`x` of shape :obj:`[M, *]`, or :obj:`num_nodes` without features,
    - :obj:`edge_index` of shape :obj:`[2, K]`, from child to parent,
    - :obj:`edge_attr`, :obj:`edge_weight` of shape :obj:`[K, *]`, if given,
    - :obj:`root_index` of shape :obj:`[R]`, the roots of the distinct trees
      (incremented in mini-batches),
    - :obj:`root_count` of shape :obj:`[R]`, how many nodes have that tree,
    - :obj:`num_layers` of shape :obj:`[1]`, the depth of the trees,

    and all graph-level attributes such as :obj:`y`. It does not depend on the
    order of the graph's nodes and edges. An adjacency :obj:`adj_t` becomes
    :obj:`edge_index`.

    Args:
        num_layers (int): The depth :math:`L` of the trees, the number of
            message passing layers of the model that will read them (one more
            for :class:`~torch_geometric.nn.conv.GCNConv`).
        compact (bool, optional): If set to :obj:`False`, trees are unrolled
            instead of sharing equal subtrees. (default: :obj:`True`)
        exclude_keys (list, optional): Names of attributes that are left out.
            Trees are compared by :obj:`x`, :obj:`edge_attr` and
            :obj:`edge_weight`; any other one of nodes or edges must be named
            here. (default: :obj:`None`)
        verify (bool, optional): If set to :obj:`True`, compares trees exactly
            and not only by their 128-bit keys. (default: :obj:`False`)

    Raises:
        TypeError: If the graph is heterogeneous.
        ValueError: If the graph has other node or edge attributes, some that
            are named as those of the result, features that are NaN, or edges
            that lead nowhere.
    """

    def __init__(
        self,
        num_layers: int,
        compact: bool = True,
        exclude_keys: Sequence[str] | None = None,
        verify: bool = False,
    ) -> None:
        check_exclude_keys(exclude_keys)
        self.num_layers = check_num_layers(num_layers)
        self.compact = compact
        self.exclude_keys = list(exclude_keys or [])
        self.verify = verify

    def forward(self, data: Data) -> Data:
        """Transforms one graph."""
        owner = self.__class__.__name__
        graphs, carried = read_graph(data, self.exclude_keys, owner)
        refuse_own_names(carried, OF_TREE_SETS, owner)
        forest = Forest(graphs, self.num_layers, self.verify)
        tree = forest.distinct()
        group = torch.zeros_like(tree.first)
        trees = forest.build(tree.first, group, 1, self.compact)
        root_ptr = group.new_tensor([0, group.numel()])
        (out,) = tree_set_list(
            graphs, trees, tree.count, root_ptr, self.num_layers
        )
        out.update(carried)
        return out

    def __repr__(self) -> str:
        options = f'{self.num_layers}'
        if not self.compact:
            options += ', compact=False'
        if self.exclude_keys:
            options += f', exclude_keys={self.exclude_keys}'
        if self.verify:
            options += ', verify=True'
        return f'{self.__class__.__name__}({options})'


def check_num_layers(num_layers: Any) -> int:
    """Refuses depths that are no whole number of hops."""
    if isinstance(num_layers, bool) or not isinstance(num_layers, Integral):
        got = f'{num_layers!r:.40}'
        raise TypeError(
            f"'num_layers' must be an integer (got {got}); pass the number of "
            f'message passing layers of the model'
        )
    if num_layers < 0:
        raise ValueError(
            f"'num_layers' must be 0 or more (got {num_layers}); pass the "
            f'number of message passing layers of the model'
        )
    return int(num_layers)
