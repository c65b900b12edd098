"""All computation trees of some graphs: keyed at once, built on demand."""

from torch import Tensor

from pyg_distill.trees.build import BuiltTrees, build_trees
from pyg_distill.trees.graphs import Graphs
from pyg_distill.trees.keys import edge_keys, tree_keys
from pyg_distill.trees.unique import UniqueKeys, unique_keys
from pyg_distill.trees.verify import verify_keys


class Forest:
    r"""The depth-:math:`L` computation trees of all nodes of some graphs.

    Args:
        graphs (Graphs): The graphs.
        num_layers (int): The depth :math:`L` of the trees.
        verify (bool, optional): If :obj:`True`, compares all trees of equal
            keys exactly, too. (default: :obj:`False`)
    """

    def __init__(
        self, graphs: Graphs, num_layers: int, verify: bool = False
    ) -> None:
        self.graphs = graphs
        self.num_layers = num_layers
        self.edge_key = edge_keys(graphs.edge_attr, graphs.edge_weight)
        self.keys = tree_keys(
            graphs.edge_index,
            graphs.num_nodes,
            num_layers,
            graphs.x,
            self.edge_key,
        )
        if verify:
            verify_keys(
                self.keys,
                graphs.edge_index,
                graphs.x,
                graphs.edge_attr,
                graphs.edge_weight,
            )

    def distinct(self) -> UniqueKeys:
        """The classes of equal trees over all graphs."""
        return unique_keys(self.keys[-1])

    def distinct_by_graph(self) -> UniqueKeys:
        """The classes of equal trees of each graph."""
        return unique_keys(self.keys[-1], self.graphs.graph_of_node())

    def build(
        self, root: Tensor, group: Tensor, num_groups: int, compact: bool
    ) -> BuiltTrees:
        """Builds the trees of some roots; see :meth:`build_trees`."""
        return build_trees(
            self.keys,
            self.graphs.edge_index,
            root,
            group,
            num_groups,
            self.edge_key,
            compact,
        )
