"""What is written into a node, and which colour it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

Labels = Tensor | Sequence[Any]
Names = Sequence[str] | Mapping[Any, str]


class NodeLabels(NamedTuple):
    """The labels of the nodes of a graph.

    Attributes:
        text: What is written into each node.
        kind: The number of the colour of each node.
    """

    text: list[str]
    kind: list[int]

    def take(self, node: Tensor) -> NodeLabels:
        """The labels of some nodes."""
        index = node.tolist()
        return NodeLabels(
            [self.text[i] for i in index], [self.kind[i] for i in index]
        )


def label_nodes(
    x: Tensor | None,
    num_nodes: int,
    node_labels: Labels | None,
    names: Names | None,
) -> NodeLabels:
    """Labels nodes by what is given, else by their one-hot features.

    Nodes of other features have no labels, and one colour.

    Args:
        x (torch.Tensor, optional): Node features of shape :obj:`[N, *]`.
        num_nodes (int): The number of nodes :math:`N`.
        node_labels (torch.Tensor or list, optional): The label of each node,
            of length :math:`N`.
        names (list or dict, optional): What is written for each label.
    """
    values: list[Any] | None = read_labels(x, num_nodes)
    if node_labels is not None:
        values = _check_labels(node_labels, num_nodes)
    if values is None and names is not None:
        raise ValueError(
            f"'names' must name labels (got {names!r:.60} for nodes without "
            f"labels, as 'x' is neither one-hot nor a number); pass "
            f'node_labels, too'
        )
    if values is None:
        return NodeLabels([''] * num_nodes, [0] * num_nodes)
    # Numbers are colours of their own, so that a label has the same one in
    # every figure.
    if all(isinstance(value, int) for value in values):
        kind = dict(zip(values, values, strict=True))
    else:
        distinct = sorted(set(values), key=str)
        kind = {value: i for i, value in enumerate(distinct)}
    text = {value: _name(value, names) for value in set(values)}
    return NodeLabels([text[v] for v in values], [kind[v] for v in values])


def read_labels(x: Tensor | None, num_nodes: int) -> list[int] | None:
    """The labels that one-hot features or numbers hold, if they do."""
    if x is None or num_nodes == 0:
        return None
    if x.dim() == 2 and x.size(1) > 1:
        one_hot = ((x == 0) | (x == 1)).all() and (x.sum(dim=1) == 1).all()
        return x.argmax(dim=1).tolist() if bool(one_hot) else None
    if x.dim() == 2 and x.size(1) == 1:
        x = x.squeeze(1)
    if x.dim() != 1 or x.is_complex():
        return None
    whole = x.to(torch.double)
    if bool((whole == whole.round()).all()) and bool((whole >= 0).all()):
        return whole.long().tolist()
    return None


def _check_labels(node_labels: Any, num_nodes: int) -> list[Any]:
    if isinstance(node_labels, str):
        raise TypeError(
            f"'node_labels' must hold one label a node (got {node_labels!r}); "
            f'pass a list or a tensor'
        )
    if isinstance(node_labels, Tensor):
        node_labels = node_labels.tolist()
    values = list(node_labels)
    if len(values) != num_nodes:
        raise ValueError(
            f"'node_labels' must hold one label a node (got {len(values)} for "
            f"{num_nodes} nodes); pass what is written for a label as 'names'"
        )
    return values


def _name(value: Any, names: Names | None) -> str:
    if names is None:
        return str(value)
    known = range(len(names)) if isinstance(names, Sequence) else names
    if isinstance(names, str) or value not in known:
        raise ValueError(
            f"'names' must hold the name of every label (got {names!r:.60}, "
            f'without {value!r}); pass a list by number or a dictionary'
        )
    return names[value]
