"""One mini-batch as plain tensors."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class GraphBatch:
    r"""A mini-batch, of ordinary graphs or of tree sets.

    Shapes:
        - **x:** node features :math:`(N, F)`, as floats,
        - **edge_index:** :math:`(2, E)`, **edge_attr**, **edge_weight:**
          :math:`(E, *)`, if there are any,
        - **batch:** the graph of each node :math:`(N)`, unless nodes are
          shared by graphs,
        - **label**, **weight:** :math:`(B)`, the latter if there is one,
        - **root_index**, **root_count:** :math:`(R)`, of tree sets,
        - **root_index_batch:** the graph of each root :math:`(R)`, if nodes
          are shared.
    """

    x: Tensor
    edge_index: Tensor
    batch: Tensor | None
    label: Tensor
    edge_attr: Tensor | None = None
    edge_weight: Tensor | None = None
    weight: Tensor | None = None
    root_index: Tensor | None = None
    root_count: Tensor | None = None
    root_index_batch: Tensor | None = None

    @property
    def num_graphs(self) -> int:
        """The number of graphs."""
        return self.label.numel()
