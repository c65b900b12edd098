"""The tree sets of a data set as one dictionary, fetched by index."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Data

from pyg_distill.loader.columns import Column
from pyg_distill.trees import SharedTrees


class TreeSets(Dataset):
    """Tree sets, of which a loader fetches only the indices.

    Args:
        source (Dataset or list): What they were read from.
        options (tuple): How they were read.
        trees (SharedTrees): The distinct trees of all of them.
        root (Column): The trees of each graph.
        root_count (torch.Tensor): Their counts, of shape :obj:`[R]`.
        columns (dict): The graph-level tensors by name.
        others (list): The other graph-level attributes, graph by graph;
            empty if there are none.
    """

    def __init__(
        self,
        source: Any,
        options: tuple[int | None, list[str]],
        trees: SharedTrees,
        root: Column,
        root_count: Tensor,
        columns: dict[str, Column],
        others: list[Data],
    ) -> None:
        self.source = source
        self.options = options
        self.trees = trees
        self.root = root
        self.root_count = root_count
        self.columns = columns
        self.others = others

    def __len__(self) -> int:
        return self.root.ptr.numel() - 1

    def __getitem__(self, index: Any) -> Any:
        return self.source[index]

    def __getitems__(self, index: Sequence[int]) -> Sequence[int]:
        return index

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or 'source' not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.source, name)
