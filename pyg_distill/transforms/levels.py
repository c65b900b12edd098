"""Is an attribute node-, edge- or graph-level? And which decide identity?"""

from collections.abc import Collection
from typing import Any

from torch import Tensor

IDENTITY = ('x', 'edge_attr', 'edge_weight')
STRUCTURE = ('edge_index', 'adj_t', 'num_nodes')

_NODE_NAMES = ('node', 'pos', 'n_id', 'mask')
_EDGE_NAMES = ('edge', 'e_id')


def level_of(
    name: str, size: Tensor, num_nodes: Tensor, num_edges: Tensor
) -> str:
    """Tells the level of an attribute from its number of rows in each graph.

    Where that leaves a doubt (every graph has one node, say), the name
    decides, and graph-level is the answer if it says nothing. Names that PyG
    increments in mini-batches hold nodes, which trees have not.

    Args:
        name (str): The name of the attribute.
        size (torch.Tensor): Its rows in each graph, of shape :obj:`[G]`.
        num_nodes (torch.Tensor): The nodes of each graph, :obj:`[G]`.
        num_edges (torch.Tensor): The edges of each graph, :obj:`[G]`.

    Returns:
        str: :obj:`"node"`, :obj:`"edge"` or :obj:`"graph"`.
    """
    if 'index' in name or 'batch' in name or name == 'face':
        return 'node'
    single = bool((size == 1).all())
    per_node = bool((size == num_nodes).all())
    per_edge = bool((size == num_edges).all())
    named_edge = any(part in name for part in _EDGE_NAMES)
    named_node = any(part in name for part in _NODE_NAMES)
    if per_edge and (named_edge or (not single and not per_node)):
        return 'edge'
    if per_node and (named_node or not single):
        return 'node'
    return 'graph'


def refuse_others(
    levels: dict[str, str], exclude_keys: Collection[str]
) -> None:
    """Refuses node and edge attributes that trees do not compare.

    Args:
        levels (dict): The level of each attribute by its name.
        exclude_keys (list): The names of those that may be left out.

    Raises:
        ValueError: If there are any; it names the remedy.
    """
    others = [
        name
        for name, level in levels.items()
        if level != 'graph'
        and name not in (*IDENTITY, *STRUCTURE, *exclude_keys)
    ]
    if 'y' in others:
        raise ValueError(
            "'y' must have one label a graph, as computation trees stand for "
            'graph-level tasks (got one row a node or edge); leave it out with '
            "exclude_keys=['y']"
        )
    if others:
        names = ', '.join(f"'{name}'" for name in others)
        raise ValueError(
            f'computation trees are compared by '
            f"'x', 'edge_attr' and 'edge_weight' only (got also {names}); "
            f'join what the model reads to one of these, and leave out the '
            f'rest with exclude_keys={others}'
        )


def check_exclude_keys(exclude_keys: Any) -> None:
    """Refuses one string, taken for letters, and what cannot be left out."""
    if isinstance(exclude_keys, str):
        raise TypeError(
            f"'exclude_keys' must be a list of names (got {exclude_keys!r}); "
            f'pass [{exclude_keys!r}]'
        )
    needed = sorted({*STRUCTURE} & {*(exclude_keys or [])})
    if needed:
        raise ValueError(
            f"'exclude_keys' must not name what trees are made of (got "
            f'{needed}); it is for features and other attributes'
        )
