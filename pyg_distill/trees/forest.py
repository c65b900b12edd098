"""The computation trees of all nodes of some graphs."""

from torch import Tensor

from pyg_distill.trees.build import BuiltTrees, build_trees
from pyg_distill.trees.graphs import Graphs
from pyg_distill.trees.keys import edge_keys, tree_keys
from pyg_distill.trees.unique import UniqueKeys, unique_keys


class Forest:
    r"""The depth-:math:`L` computation trees of all nodes of some graphs.

    All keys are computed at once; trees are built on request.

    Args:
        graphs (Graphs): The graphs.
        num_layers (int): The depth :math:`L` of the trees.
    """

    def __init__(self, graphs: Graphs, num_layers: int) -> None:
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

    def distinct(self) -> UniqueKeys:
        """The classes of equal trees over all graphs."""
        return unique_keys(self.keys[-1])

    def distinct_by_graph(self) -> UniqueKeys:
        """The classes of equal trees of each graph."""
        return unique_keys(self.keys[-1], self.graphs.graph_of_node())

    def build(
        self,
        root: Tensor,
        group: Tensor,
        num_groups: int,
        compact: bool = True,
    ) -> BuiltTrees:
        """Builds the trees of some roots; see :meth:`build_trees`."""
        return build_trees(
            self.keys,
            self.graphs.edge_index,
            root,
            group,
            num_groups,
            edge_key=self.edge_key,
            compact=compact,
        )
