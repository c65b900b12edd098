"""Tree nodes, linked from child to parent and traced to their source."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LinkedTrees:
    """Sets of trees, before their nodes are counted out set by set.

    Shapes:
        - **node**, **group:** the source node and the set of each of the
          :math:`M` tree nodes :math:`(M)`, sorted by set,
        - **edge**, **child**, **parent:** the source edge and the two ends of
          each of the :math:`K` tree edges :math:`(K)`, sorted by set,
        - **root:** the tree node of each root :math:`(R)`.
    """

    node: Tensor
    group: Tensor
    edge: Tensor
    child: Tensor
    parent: Tensor
    root: Tensor
