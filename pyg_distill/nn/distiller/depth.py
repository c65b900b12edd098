"""How many hops of a neighborhood does a teacher read?"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.fx import GraphModule
from torch_geometric.nn import HeteroConv, MessagePassing

from pyg_distill.nn.hops import layer_hops, num_hops


def check_depth(sampled: int, read: int) -> None:
    """Refuses neighborhoods of fewer hops than are read."""
    if sampled < read:
        raise ValueError(
            f"'loader' must sample the {read} hops that the teacher reads "
            f'(got {sampled}); pass num_neighbors={[-1] * read}, or use '
            f'TeacherCache.from_inputs with the whole graph'
        )


def depth(teacher: torch.nn.Module) -> int:
    """The hops that a teacher reads, relations of one layer counted once."""
    out = num_hops(teacher)
    groups: dict[int, torch.nn.Module] = {}
    for module in teacher.modules():
        if isinstance(module, HeteroConv):
            groups[id(module.convs)] = module.convs
        elif isinstance(module, GraphModule):
            for group in module.modules():
                if isinstance(group, torch.nn.ModuleDict) and all(
                    isinstance(m, MessagePassing) for m in group.children()
                ):
                    groups[id(group)] = group
    for group in groups.values():
        each = [num_hops(relation) for relation in group.children()]
        out -= num_hops(group) - max(each, default=0)
    return out


@contextlib.contextmanager
def counted(teacher: torch.nn.Module) -> Iterator[Callable[[], int]]:
    """Tells the hops again, with layers as often as they are called."""
    hops = layer_hops(teacher)
    calls: Counter[torch.nn.Module] = Counter()

    def count(module: torch.nn.Module, args: Any) -> None:
        calls[module] += 1

    handles = [layer.register_forward_pre_hook(count) for layer in hops]

    def total() -> int:
        again = sum((calls[layer] - 1) * hops[layer] for layer in calls)
        return depth(teacher) + again

    try:
        yield total
    finally:
        for handle in handles:
            handle.remove()
