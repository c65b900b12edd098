"""Any collated graphs <-> packed tensors."""

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.datasets.packing.column import Packed
from pyg_distill.datasets.packing.graphs import pack_graphs, unpack_graphs
from pyg_distill.datasets.packing.tree_sets import (
    pack_tree_sets,
    unpack_tree_sets,
)


def pack(
    data: Data,
    slices: dict[str, Tensor] | None,
    index: Tensor | Sequence[int] | None = None,
    balance: str | None = None,
    num_graphs: Mapping[int, int] | None = None,
) -> Packed:
    """Packs graphs, which are tree sets if they have a :obj:`root_index`.

    See :meth:`pack_graphs` and :meth:`pack_tree_sets`.

    Args:
        data (torch_geometric.data.Data): The collated graphs.
        slices (dict, optional): Where each of them begins, or :obj:`None` for
            a single graph.
        index (torch.Tensor or list, optional): Which of them to pack, all by
            default. (default: :obj:`None`)
        balance (str, optional): How the :obj:`weight` of tree sets follows
            from :obj:`support`. (default: :obj:`None`)
        num_graphs (dict, optional): The graphs of each class in the source,
            which that needs. (default: :obj:`None`)

    Returns:
        dict: Tensors, plain numbers and strings, which :meth:`torch.load`
        reads with :obj:`weights_only=True`.
    """
    if 'root_index' in data:
        return pack_tree_sets(data, slices, index, balance, num_graphs)
    return pack_graphs(data, slices, index)


def unpack(packed: Packed) -> tuple[Data, dict[str, Tensor] | None]:
    """Restores what :meth:`pack` packed.

    Args:
        packed (dict): What it returned.

    Returns:
        tuple: The collated graphs and where each begins.

    Raises:
        ValueError: If it is something else.
    """
    form = packed.get('form') if isinstance(packed, dict) else None
    if form == 'tree sets':
        return unpack_tree_sets(packed)
    if form == 'graphs':
        return unpack_graphs(packed)
    got = type(packed).__name__ if form is None else f'form={form!r}'
    raise ValueError(
        f"'packed' must be what pack() returned (got {got}); pass that, or "
        f'the collated graphs to pack() first'
    )
