"""Which collections hold all of their graphs in memory?"""

from typing import Any

from torch.utils.data import ConcatDataset, Subset
from torch_geometric.data import InMemoryDataset


def is_in_memory(source: Any) -> bool:
    """Looks into PyTorch's wrappers, however they are nested.

    Args:
        source (Dataset or list): The graphs.
    """
    if isinstance(source, Subset):
        return is_in_memory(source.dataset)
    if isinstance(source, ConcatDataset):
        return all(map(is_in_memory, source.datasets))
    return isinstance(source, list | tuple | InMemoryDataset)
