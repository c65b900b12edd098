r"""128-bit keys of features and computation trees, as two int64 lanes.

All arithmetic is modulo :math:`2^{64}`, which PyTorch's int64 follows on every
device. So a key is the same on every machine, in every process and for every
order of summation.
"""

import math
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

# The low and the high halves of some keys.
Lanes = tuple[Tensor, Tensor]

# Odd multipliers of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) and of
# MurmurHash3's finaliser (Appleby, 2011).
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))
_PREMIX = (0xFF51AFD7ED558CCD - (1 << 64), 0xC4CEB9FE1A85EC53 - (1 << 64))
_ODD = 0xD6E8FEB86659FD93 - (1 << 64)

# These numbers separate the uses of `chain` from each other.
_NODE, _CHILD, _EDGE = 1, 2, 3
_INTEGER, _FLOAT, _COMPLEX = 1, 2, 3

# PyTorch stores these, but selects no entries of them.
_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
# Feature entries that are hashed together: the first bounds the memory, the
# second keeps full rows in the cache.
_BLOCK, _CACHED = 1 << 20, 1 << 16
# Edges that are hashed together, to stay in the cache.
_EDGES = 1 << 18
# A non-zero entry by itself costs about this many entries of full rows.
_SPARSE = 4


def tree_keys(
    edge_index: Tensor,
    num_nodes: int,
    num_layers: int,
    x: Tensor | None = None,
    edge_key: Tensor | None = None,
) -> list[Tensor]:
    r"""Computes the keys of all computation trees up to depth :math:`L`.

    The depth-:math:`\ell` tree of a node is the node with, as children, the
    depth-:math:`(\ell-1)` trees of the sources of its incoming edges (Mirage,
    Definition 3; walking back along an edge counts). Its key is

    .. math::
        k_\ell(v) = h \big( x_v, \sum_{e = (u, v)}
        g \big( k_{\ell - 1}(u), e \big) \big), \qquad k_0(v) = h(x_v, 0),

    that is, :math:`L` rounds of Weisfeiler-Leman colour refinement in
    :math:`\mathcal{O}(L \cdot |\mathcal{E}|)` steps. Equal trees have equal
    keys in every graph, process and machine, and at every depth. Unequal trees
    collide with a probability of about :math:`2^{-128}` a pair.

    Args:
        edge_index (torch.Tensor): Edges of shape :obj:`[2, E]`, of one graph
            or of many that are numbered through.
        num_nodes (int): The number of nodes :math:`N`.
        num_layers (int): The depth :math:`L \geq 0`.
        x (torch.Tensor, optional): Node features of shape :obj:`[N, *]`;
            without, all nodes are alike. (default: :obj:`None`)
        edge_key (torch.Tensor, optional): What :meth:`edge_keys` returned, of
            shape :obj:`[E, 2]`. (default: :obj:`None`)

    Returns:
        list: :math:`L + 1` tensors of shape :obj:`[N, 2]` (int64), the keys of
        the trees of depth :math:`0, \ldots, L`.

    Raises:
        TypeError: If :obj:`x` is no dense tensor.
        ValueError: If :obj:`num_layers` is negative or a feature is NaN.
    """
    if num_layers < 0:
        raise ValueError(
            f"'num_layers' must be 0 or more (got {num_layers}); pass that of "
            f'the model'
        )
    if x is None:
        row_key = edge_index.new_zeros(1, 2)
    else:
        row_key = chain(1, hash_features(x, 'x'))

    edge = None if edge_key is None else (edge_key[:, 0], edge_key[:, 1])
    # What all edges or rounds share is hashed once. Each tensor is as large as
    # a key, so none stays longer than needed.
    node = _chain_lanes(_NODE, row_key.unbind(1))
    del row_key
    children = [node[0].new_zeros(num_nodes)] * 2
    keys = [torch.stack(_extend(node, children), dim=1)]
    for _ in range(num_layers):
        child = _chain_lanes(_CHILD, keys[-1].unbind(1))
        children = _sum_children(child, edge_index, edge)
        keys.append(torch.stack(_extend(node, children), dim=1))
    return keys


def edge_keys(
    edge_attr: Tensor | None = None,
    edge_weight: Tensor | None = None,
) -> Tensor | None:
    """Hashes the features of edges.

    Args:
        edge_attr (torch.Tensor, optional): Edge features of shape
            :obj:`[E, *]`. (default: :obj:`None`)
        edge_weight (torch.Tensor, optional): Edge weights of shape :obj:`[E]`.
            (default: :obj:`None`)

    Returns:
        torch.Tensor, optional: Keys of shape :obj:`[E, 2]`, or :obj:`None` if
        edges have no features.

    Raises:
        TypeError: If a feature is no dense tensor.
        ValueError: If a feature is NaN.
    """
    keys = [
        chain(seed, hash_features(value, name))
        for seed, name, value in [
            (1, 'edge_attr', edge_attr),
            (2, 'edge_weight', edge_weight),
        ]
        if value is not None
    ]
    return chain(_EDGE, *keys) if keys else None


def hash_features(value: Tensor, name: str) -> Tensor:
    r"""Hashes the rows of a feature tensor.

    Values are compared exactly: :obj:`-0.0` equals :obj:`0.0`, and the width
    of a type does not matter, but integers differ from floats. Rows that
    differ in a single column never collide.

    Args:
        value (torch.Tensor): Features of shape :obj:`[n, *]`.
        name (str): The name used in error messages.

    Returns:
        torch.Tensor: Keys of shape :obj:`[n, 2]`.

    Raises:
        TypeError: If :obj:`value` is no dense tensor.
        ValueError: If :obj:`value` is a scalar or contains NaN.
    """
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        got = getattr(value, 'layout', type(value).__name__)
        raise TypeError(
            f"'{name}' must be a dense tensor (got {got}); convert it, or pass "
            f"exclude_keys=['{name}']"
        )
    if value.dim() == 0:
        raise ValueError(
            f"'{name}' must have one row a node or edge (got a scalar); pass "
            f"exclude_keys=['{name}']"
        )
    kind = _INTEGER
    if value.is_complex():
        kind, value = _COMPLEX, torch.view_as_real(value)
    elif value.is_floating_point():
        kind = _FLOAT
    elif value.dtype in _UNSIGNED:
        value = value.long()

    num_rows, num_columns = value.size(0), math.prod(value.size()[1:])
    value = value.reshape(num_rows, num_columns)
    constant = _column_constants(num_columns, value.device)
    rows = max(1, _BLOCK // max(1, num_columns))
    keys = [_hash_rows(block, constant, name) for block in value.split(rows)]
    return chain(kind * (1 << 32) + num_columns, torch.cat(keys))


def chain(seed: int, *keys: Tensor) -> Tensor:
    """Hashes a sequence of keys :obj:`[n, 2]`, one-to-one in each of them."""
    lanes = _chain_lanes(seed, keys[0].unbind(1))
    for key in keys[1:]:
        lanes = _extend(lanes, key.unbind(1))
    return torch.stack(lanes, dim=1)


def _sum_children(
    child: Lanes, edge_index: Tensor, edge: Lanes | None
) -> list[Tensor]:
    """Hashes the multiset of children of each node to a sum of hashes."""
    sums = [torch.zeros_like(lane) for lane in child]
    for begin in range(0, edge_index.size(1), _EDGES):
        block = slice(begin, begin + _EDGES)
        source, target = edge_index[:, block]
        low, high = (lane.index_select(0, source) for lane in child)
        if edge is not None:
            low, high = _extend((low, high), [e[block] for e in edge])
        sums[0].scatter_add_(0, target, low)
        sums[1].scatter_add_(0, target, high)
    return sums


def _hash_rows(value: Tensor, constant: Tensor, name: str) -> Tensor:
    """Sums the hashes of the entries of each row."""
    is_set = (value != 0).reshape(-1)
    if _SPARSE * int(is_set.count_nonzero()) <= is_set.numel():
        return _hash_sparse(value, is_set.nonzero().view(-1), constant, name)
    keys = []
    for block in value.split(max(1, _CACHED // max(1, value.size(1)))):
        low, high = _hash_entries(_to_words(block, name), constant)
        keys.append(torch.stack([low.sum(dim=1), high.sum(dim=1)], dim=1))
    return torch.cat(keys)


def _hash_sparse(
    value: Tensor, index: Tensor, constant: Tensor, name: str
) -> Tensor:
    """Adds the non-zero entries to the hash of a row of zeros."""
    num_rows, num_columns = value.size()
    row = index // max(1, num_columns)
    column = index - row * num_columns
    word = _to_words(value.reshape(-1).index_select(0, index), name)
    lanes = _hash_entries(word, constant.index_select(1, column))
    zeros = _hash_entries(torch.zeros_like(constant[0]), constant)
    totals = [
        zero.sum()
        .repeat(num_rows)
        .scatter_add_(0, row, lane.sub_(zero.index_select(0, column)))
        for lane, zero in zip(lanes, zeros, strict=True)
    ]
    return torch.stack(totals, dim=1)


def _to_words(value: Tensor, name: str) -> Tensor:
    """The 64 bits of each number."""
    if not value.is_floating_point():
        return value.long()
    # A sum of infinities is NaN, too, but looking at all values is slower.
    if value.sum().isnan() and value.isnan().any():
        raise ValueError(
            f"'{name}' must not hold NaN (got some); fill it in, or pass "
            f"exclude_keys=['{name}']"
        )
    # Adding zero turns -0.0 into 0.0.
    return (value + 0.0).double().view(torch.long)


def _column_constants(num_columns: int, device: torch.device) -> Tensor:
    """Both constants of each column, of shape :obj:`[2, num_columns]`."""
    number = torch.arange(1, 2 * num_columns + 1, device=device)
    return _mix_(number.mul_(_GAMMA)).view(-1, 2).t().contiguous()


def _hash_entries(word: Tensor, constant: Tensor) -> Lanes:
    """Hashes the word of each entry together with its column's constants."""
    # The lanes take in the column before and after scrambling the word. So no
    # equation between words makes two columns swap in both lanes.
    low = _mix_(word ^ constant[0])
    high = word.clone()
    for multiplier in _PREMIX:
        _xor_shift_(high).mul_(multiplier)
    _xor_shift_(high.bitwise_xor_(constant[1])).mul_(_ODD)
    return low, _xor_shift_(high)


def _chain_lanes(seed: int, key: Sequence[Tensor]) -> Lanes:
    """Starts a sequence of keys."""
    low, high = _mix_(torch.tensor([seed, ~seed])).tolist()
    return _extend((low, high), key)


def _extend(
    lanes: Sequence[Tensor] | tuple[int, int], key: Sequence[Tensor]
) -> Lanes:
    """Adds a key to the end of a sequence."""
    low = _mix_(key[0] + lanes[0])
    high = _mix_((key[1] + lanes[1]).add_(low))
    return low.add_(high, alpha=_ODD), high


def _mix_(value: Tensor) -> Tensor:
    """Scrambles new int64 values in place, one-to-one."""
    for multiplier in _MIX:
        _xor_shift_(value).mul_(multiplier)
    return _xor_shift_(value)


def _xor_shift_(value: Tensor) -> Tensor:
    """Adds the high 32 bits to the low ones, without carry."""
    # A logical shift, which int64 lacks, would take three passes. New tensors
    # are dense: the order of their elements in memory does not matter.
    flat = value.as_strided((value.numel(),), (1,))
    halves = flat.view(torch.int32).view(-1, 2)
    is_little = sys.byteorder == 'little'
    halves[:, 1 - is_little].bitwise_xor_(halves[:, int(is_little)])
    return value
