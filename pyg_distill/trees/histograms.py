"""How often each tree occurs in each graph, as sparse rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from pyg_distill.trees.build import Forest
from pyg_distill.trees.grouping import unique_keys
from pyg_distill.trees.keys import chain

Depths = Literal['all', 'last']
Normalization = Literal['none', 'sqrt', 'l2', 'hellinger']

# Separates these hashes from others of the same keys; the depth is added.
_HISTOGRAM = 1 << 16


def tree_histograms(
    forest: Forest,
    *,
    depths: Depths = 'all',
    normalize: Normalization = 'none',
) -> Tensor:
    r"""Counts how often each distinct tree occurs in each graph.

    The inner product of two rows is the Weisfeiler-Leman subtree kernel of
    their graphs (Shervashidze et al.,
    `"Weisfeiler-Lehman Graph Kernels"
    <https://www.jmlr.org/papers/v12/shervashidze11a.html>`_, JMLR 2011,
    Section 3.2).

    Args:
        forest (Forest): The trees of :math:`G` graphs.
        depths (str, optional): Which trees to count: those of :obj:`"all"`
            depths :math:`0, \ldots, L`, where trees of different depths are
            different columns, or those of the :obj:`"last"` depth only.
            (default: :obj:`"all"`)
        normalize (str, optional): What to do with counts: :obj:`"none"`,
            :obj:`"sqrt"` for their square roots, :obj:`"l2"` to scale rows to
            length 1, or :obj:`"hellinger"` for both in turn, which gives the
            square roots of shares and leaves the number of nodes out.
            (default: :obj:`"none"`)

    Returns:
        torch.Tensor: A coalesced sparse matrix of shape :obj:`[G, D]` (float).
        Its :math:`D` columns are the distinct trees, sorted by depth and key,
        so that they do not depend on the order of graphs.

    Raises:
        ValueError: If an option is none of the above.
    """
    return keyed_histograms(forest, depths, normalize).count


@dataclass(frozen=True)
class KeyedHistograms:
    """Tree histograms of some graphs, and the keys of their columns.

    Attributes:
        count: A coalesced sparse matrix of shape :obj:`[G, D]`.
        key: The key of each column, of shape :obj:`[D, 2]`. The same tree of
            the same depth has the same key in all graphs.
    """

    count: Tensor
    key: Tensor

    def cpu(self) -> 'KeyedHistograms':
        """The same in the memory of the CPU."""
        return KeyedHistograms(self.count.cpu(), self.key.cpu())

    @classmethod
    def join(cls, parts: Sequence['KeyedHistograms']) -> 'KeyedHistograms':
        """Puts rows below each other, with equal trees in the same column.

        Args:
            parts (list): The histograms of one part of the graphs or more.
        """
        tree = unique_keys(torch.cat([part.key for part in parts]))
        row, column, first_row, first_column = [], [], 0, 0
        for part in parts:
            index = part.count.indices()
            row.append(index[0] + first_row)
            column.append(tree.inverse[index[1] + first_column])
            first_row += part.count.size(0)
            first_column += part.key.size(0)
        index = torch.stack([torch.cat(row), torch.cat(column)])
        value = torch.cat([part.count.values() for part in parts])
        key = torch.cat([part.key for part in parts])[tree.first]
        return cls(_to_sparse(index, value, first_row, key.size(0)), key)


def keyed_histograms(
    forest: Forest,
    depths: Depths = 'all',
    normalize: Normalization = 'none',
) -> KeyedHistograms:
    """Counts like :meth:`tree_histograms`, and also returns the trees' keys.

    Args:
        forest (Forest): The trees of :math:`G` graphs.
        depths (str, optional): Which trees to count. (default: :obj:`"all"`)
        normalize (str, optional): What to do with counts.
            (default: :obj:`"none"`)
    """
    for name, option, allowed in [
        ('depths', depths, get_args(Depths)),
        ('normalize', normalize, get_args(Normalization)),
    ]:
        if option not in allowed:
            raise ValueError(
                f"'{name}' must be one of {', '.join(map(repr, allowed))} "
                f'(got {option!r})'
            )
    first = 0 if depths == 'all' else forest.num_layers
    column, tree_key, num_trees = [], [], 0
    for depth, key in enumerate(forest.keys[first:], first):
        tree = unique_keys(key)
        column.append(tree.inverse + num_trees)
        num_trees += tree.first.numel()
        tree_key.append(chain(_HISTOGRAM + depth, key[tree.first]))

    size = forest.graphs.num_graphs, num_trees
    graph = forest.graphs.graph_of_node().repeat(len(column))
    index = torch.stack([graph, torch.cat(column)])
    one = torch.ones_like(graph, dtype=torch.float)
    count = _to_sparse(index, one, *size)
    value = _normalize(count, normalize)
    count = _to_sparse(count.indices(), value, *size)
    return KeyedHistograms(count, torch.cat(tree_key))


def _to_sparse(index: Tensor, value: Tensor, *size: int) -> Tensor:
    # Indices come from counting: checking them would only cost time.
    return torch.sparse_coo_tensor(
        index, value, size, check_invariants=False
    ).coalesce()


def _normalize(count: Tensor, normalize: Normalization) -> Tensor:
    value = count.values()
    if normalize in ('sqrt', 'hellinger'):
        value = value.sqrt()
    if normalize in ('l2', 'hellinger'):
        graph = count.indices()[0]
        # Sums in double precision do not depend on the order of columns.
        square = value.new_zeros(count.size(0), dtype=torch.double)
        square.index_add_(0, graph, value.double().square())
        value = value / square.sqrt().to(value.dtype)[graph]
    return value
