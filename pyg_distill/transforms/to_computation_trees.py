"""Graph -> the set of its distinct computation trees."""

from collections.abc import Sequence

from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_distill.data.attributes import (
    FEATURES,
    OF_TREE_SETS,
    STRUCTURE,
    check_exclude_keys,
    check_num_layers,
    refuse_reserved,
    to_plain,
)
from pyg_distill.data.table import GraphTable
from pyg_distill.data.tree_sets import lossless
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
    order of the nodes and edges of the graph. An adjacency :obj:`adj_t`
    becomes :obj:`edge_index`.

    Args:
        num_layers (int): The depth :math:`L` of the trees, the number of
            message passing layers of the model that will read them (one more
            for :class:`~torch_geometric.nn.conv.GCNConv`).
        compact (bool, optional): If set to :obj:`False`, trees are unrolled
            instead of sharing equal subtrees. (default: :obj:`True`)
        exclude_keys (list, optional): Attributes to leave out. Trees are
            compared by :obj:`x`, :obj:`edge_attr` and :obj:`edge_weight`;
            other attributes of nodes or edges must be named here.
            (default: :obj:`None`)

    Raises:
        TypeError: If the graph is heterogeneous.
        ValueError: If the graph has other node or edge attributes, attributes
            that are named as those of the result, features that are NaN, or
            edges that lead nowhere.
    """

    def __init__(
        self,
        num_layers: int,
        compact: bool = True,
        exclude_keys: Sequence[str] | None = None,
    ) -> None:
        self.num_layers = check_num_layers(num_layers)
        self.compact = compact
        self.exclude_keys = check_exclude_keys(exclude_keys)

    def forward(self, data: Data) -> Data:
        """Transforms one graph.

        Args:
            data (torch_geometric.data.Data): The graph.
        """
        name = type(self).__name__
        data = to_plain(data, name)
        # Unlike `keys()`, in the order in which they were set.
        carried = {
            key: value
            for key, value in data.to_dict().items()
            if key not in (*FEATURES, *STRUCTURE, *self.exclude_keys)
        }
        refuse_reserved(carried, OF_TREE_SETS, name)
        table = GraphTable.from_list([data], self.exclude_keys, name)
        forest = Forest(table.graphs, self.num_layers)
        (out,) = lossless(table, forest, self.compact).to_table().to_list()
        out.update(carried)
        return out

    def __repr__(self) -> str:
        options = f'{self.num_layers}'
        if not self.compact:
            options += ', compact=False'
        if self.exclude_keys:
            options += f', exclude_keys={self.exclude_keys}'
        return f'{type(self).__name__}({options})'
