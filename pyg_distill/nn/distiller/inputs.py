"""Are these the inputs that the teacher has answered?"""

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_distill.nn.distiller.by_type import items


class Fingerprint:
    """Recognises inputs by what they hold.

    The content of a tensor is read once. While the same tensor object comes
    again, unchanged, its version tells so at no cost.

    Args:
        args (tuple): Positional arguments of a model.
        kwargs (dict): Its keyword arguments.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.sums = self._read(args, kwargs)
        self._seen: list[tuple[weakref.ref[Tensor], int | None]] = []

    def matches(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether these inputs are equal to the first ones."""
        tensors = list(_tensors((args, kwargs)))
        if _others((args, kwargs)) != self.sums[0]:
            return False
        if len(tensors) == len(self._seen) and all(
            ref() is x and version is not None and version == _version(x)
            for x, (ref, version) in zip(tensors, self._seen, strict=True)
        ):
            return True
        if self._read(args, kwargs) != self.sums:
            return False
        self._seen = [(weakref.ref(x), _version(x)) for x in tensors]
        return True

    @staticmethod
    def _read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        inputs = (args, kwargs)
        return [_others(inputs), *(_content(x) for x in _tensors(inputs))]

    def __getstate__(self) -> dict[str, Any]:
        return {'sums': self.sums, '_seen': []}


def node_features(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """All plain matrices among the inputs, or those of all node types.

    Which of them have a row for each node has yet to be seen. The order does
    not depend on that of keywords.
    """
    named = sorted(kwargs, key=lambda key: (key != 'x', key))
    out: list[Tensor] = []
    for value in (*args, *(kwargs[key] for key in named)):
        if isinstance(value, HeteroData):
            value = value.collect('x', allow_empty=True)
        if isinstance(value, Mapping):
            found = {
                key: x
                for key, x in value.items()
                if isinstance(key, str) and _is_matrix(x)
            }
            if found and not out:
                return found
            continue
        out += [x for x in _tensors(value) if _is_matrix(x)]
    return out


def row_sums(x: Any, num_nodes: int) -> Any:
    """Numbers for each node that hardly any other node has.

    Args:
        x (list[torch.Tensor] or dict[str, torch.Tensor]): See
            :meth:`node_features`.
        num_nodes (int): The rows that features of nodes have.

    Returns:
        torch.Tensor: One for each matrix of nodes, of shape :obj:`[N, K]`, or
        a dictionary of them by node type; :obj:`None` if there is none.
    """
    if isinstance(x, Mapping):
        return {key: _weighted(value).unsqueeze(-1) for key, value in x.items()}
    sums = [_weighted(value) for value in x if value.size(0) == num_nodes]
    return torch.stack(sums, dim=-1) if sums else None


def check_features(cached: Any, rows: Any, x: Any, num_nodes: int) -> None:
    """Refuses features other than those that the teacher saw.

    Args:
        cached (torch.Tensor or dict[str, torch.Tensor], optional): What
            :meth:`row_sums` made of them.
        rows (torch.Tensor or dict[str, torch.Tensor]): The rows to compare.
        x (list[torch.Tensor] or dict[str, torch.Tensor]): The features.
        num_nodes (int): The number of nodes that were named, of which those
            rows may be the first.
    """
    if cached is None or x is None:
        return
    known = dict(items(rows))
    for key, sums in items(cached):
        index = known.get(key)
        if index is None:
            continue
        found = _candidates(x, key, num_nodes)
        found = [value for value in found if value.size(0) >= index.numel()]
        if found and not _agree(sums[index], found):
            raise ValueError(
                "'teacher' was cached for other node features than those of "
                'this mini-batch (their sums differ); transform the data '
                'before both, or pass the teacher itself where features are '
                'augmented'
            )


def _candidates(x: Any, key: str, num_nodes: int) -> list[Tensor]:
    if isinstance(x, Mapping):
        return [x[key]] if key in x else []
    if key:
        return []
    # The seed nodes may have been named alone.
    return [v for v in x if v.size(0) == num_nodes] or x


def _agree(cached: Tensor, found: list[Tensor]) -> bool:
    """Whether matrices are as they were, in whatever order they come.

    By chance, there may have been as many edges as nodes. Then one that is as
    it was has to do.
    """
    alike = torch.tensor([[_equal(k, x) for x in found] for k in cached.t()])
    if len(found) == cached.size(-1):
        return bool(alike.any(dim=0).all() and alike.any(dim=1).all())
    return bool(alike.any())


def _equal(cached: Tensor, x: Tensor) -> bool:
    x = x[: cached.numel()].detach()
    error = (_weighted(x) - cached.to(x.device)).abs()
    # What rounding to the type of the features may make of it.
    share = max(1e-4, 4 * torch.finfo(x.dtype).eps)
    return bool((error <= share * _weighted(x.abs())).all())


def _weighted(x: Tensor) -> Tensor:
    # Plain sums would be equal for all rows that were scaled to sum to 1.
    position = torch.arange(x.size(-1), device=x.device)
    weight = 1.0 + (position * 40503 % 65536).float() / 65536
    with torch.autocast(x.device.type, enabled=False):
        return x.detach().float() @ weight


def _is_matrix(x: Any) -> bool:
    return (
        isinstance(x, Tensor)
        and x.dim() == 2
        and x.is_floating_point()
        and x.layout == torch.strided
    )


def _version(x: Tensor) -> int | None:
    # Inference tensors do not count their changes.
    return None if x.is_inference() else x._version


def _leaves(value: Any) -> Iterator[Any]:
    """All that a structure holds, in an order that does not matter to it."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _leaves(value[key])
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    elif hasattr(value, 'to_dict'):
        # A `Data` object, which has a `coo()`, too.
        yield from _leaves(value.to_dict())
    elif hasattr(value, 'coo'):  # A `torch_sparse.SparseTensor`.
        yield from _leaves(list(value.coo()))
    elif hasattr(value, '__dict__') and not callable(value):
        yield from _leaves(vars(value))
    elif isinstance(value, np.ndarray):
        # Of which only the ends would be printed.
        yield repr((value.shape, value.dtype, value.tolist()))
    else:
        yield repr(value)


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in _leaves(value) if isinstance(leaf, Tensor))


def _others(value: Any) -> list[str]:
    return [leaf for leaf in _leaves(value) if not isinstance(leaf, Tensor)]


def _content(x: Tensor) -> tuple[Any, ...]:
    size, dtype = tuple(x.size()), x.dtype
    x = x.detach()
    if x.layout != torch.strided:
        x = x.to_sparse_coo().coalesce()
        parts = [x.indices(), x.values()]
    else:
        parts = [x.as_subclass(Tensor)]
    return size, dtype, *map(_checksum, parts)


def _checksum(x: Tensor) -> int:
    """A sum over bits and positions, which is the same on every device."""
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj())
    integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = x.contiguous().view(-1).view(integers[x.element_size()]).long()
    # The mixing function of xorshift-like generators, in wrapping integers.
    bits = bits + torch.arange(bits.numel(), device=x.device) * _ODD[0]
    for odd in _ODD[1:]:
        bits = (bits ^ (bits >> 31)) * odd
    return int((bits ^ (bits >> 29)).sum())


_ODD = (-7046029254386353131, -4658895280553007687, -7723592293110705685)
