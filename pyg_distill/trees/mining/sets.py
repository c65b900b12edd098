"""Item sets and the transactions that support them."""

from dataclasses import dataclass
from itertools import compress

import numpy as np
import torch
from torch import Tensor

from pyg_distill.trees.csr import pointer


@dataclass(frozen=True, eq=False)
class FrequentSets:
    r""":math:`P` item sets, and the transactions that support them.

    They are ordered by descending support, then by descending size, then
    lexicographically by their items.

    Args:
        item (torch.Tensor): The items of all sets, set after set, ascending
            within each set.
        ptr (torch.Tensor): Where the sets begin in :obj:`item`, of shape
            :math:`[P + 1]`.
        support (torch.Tensor): The number of transactions that hold all items
            of a set, of shape :math:`[P]`.
        tids (tuple): The transactions that hold all items of a set, as one
            integer per set whose :math:`t`-th bit is transaction :math:`t`.
    """

    item: Tensor
    ptr: Tensor
    support: Tensor
    tids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tids)

    def transactions(self, p: int) -> Tensor:
        r"""Returns the transactions that hold set :obj:`p`, ascending."""
        tids = self.tids[p]
        packed = tids.to_bytes((tids.bit_length() + 7) // 8, 'little')
        bits = np.unpackbits(
            np.frombuffer(packed, dtype=np.uint8), bitorder='little'
        )
        return torch.from_numpy(bits.nonzero()[0]).to(self.ptr)

    def select(self, mask: Tensor) -> 'FrequentSets':
        r"""Keeps the sets for which :obj:`mask` of shape :math:`[P]` holds."""
        size = self.ptr.diff()
        return FrequentSets(
            item=self.item[mask.repeat_interleave(size)],
            ptr=pointer(size[mask]),
            support=self.support[mask],
            tids=tuple(compress(self.tids, mask.tolist())),
        )
