"""Layers that PyG's :obj:`to_hetero` has split up by relation.

A layer becomes one module a relation, and what was its output becomes, for
each node type, a chain of functions on their outputs that no module holds.
"""

from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.to_hetero_transformer import key2str

# The name of a part, a number, or a function and its arguments.
Formula: TypeAlias = Any


def split_layers(module: GraphModule) -> dict[str, dict[str, Formula]]:
    """Finds the layers that were split up.

    Args:
        module (torch.fx.GraphModule): Any such module, also one that
            :obj:`to_hetero` did not make and that has no such layers.

    Returns:
        dict: For the name of each layer a formula for its output of every
        node type, in terms of its parts.
    """
    types: dict[str, Any] = {}
    for node in module.graph.nodes:
        if node.op == 'call_method' and node.target == 'get':
            key = node.args[1]
            if isinstance(key, str | tuple):
                types[key2str(key)] = key
    if not any(isinstance(key, tuple) for key in types.values()):
        return {}

    seen: set[str] = set()
    layers: dict[str, dict[str, list[Node]]] = {}
    for node in module.graph.nodes:
        # Later calls of a layer are like the first.
        if node.op != 'call_module' or node.target in seen:
            continue
        seen.add(node.target)
        name, _, part = node.target.rpartition('.')
        key = types.get(part)
        if key is None or not isinstance(
            module.get_submodule(name), torch.nn.ModuleDict
        ):
            continue
        if isinstance(key, tuple):
            # Other modules on edges return edges, by relation.
            if not isinstance(
                module.get_submodule(node.target), MessagePassing
            ):
                continue
            key = key[-1]
        layers.setdefault(name, {}).setdefault(key, []).append(node)
    return {
        name: {key: _formula(nodes) for key, nodes in layer.items()}
        for name, layer in layers.items()
    }


def evaluate(formula: Formula, parts: dict[str, Tensor]) -> Any:
    """The value of a formula.

    Args:
        formula (str or int or tuple): The formula.
        parts (dict): The value of each part.
    """
    if isinstance(formula, tuple):
        function, *args = formula
        return function(*(evaluate(arg, parts) for arg in args))
    return parts[formula] if isinstance(formula, str) else formula


def part_names(formula: Formula) -> list[str]:
    """The parts that a formula reads.

    Args:
        formula (str or int or tuple): The formula.
    """
    if isinstance(formula, tuple):
        return [name for arg in formula[1:] for name in part_names(arg)]
    return [formula] if isinstance(formula, str) else []


def _formula(nodes: list[Node]) -> Formula:
    formulas: dict[Node, Formula] = {
        node: str(node.target).rpartition('.')[2] for node in nodes
    }
    last = nodes[0]
    while len(formulas) > 1:
        # Nothing else reads the outputs of relations that are still apart.
        last = next(
            user
            for node in formulas
            for user in node.users
            if all(arg in formulas for arg in user.args)
        )
        args = [formulas.pop(arg) for arg in last.all_input_nodes]
        formulas[last] = (last.target, *args)
    formula = formulas[last]
    if len(nodes) > 1 and _is_mean(nodes[0], last, len(nodes)):
        formula = (torch.div, formula, len(nodes))
    return formula


def _is_mean(part: Node, total: Node, count: int) -> bool:
    user = next(iter(total.users), None)
    if user is None or user.target is not torch.div:
        return False
    # The model may divide, too. Its own nodes have names of their own, unless
    # it was saved, which renames all nodes after what they call.
    saved = part.name.startswith(str(part.target).replace('.', '_'))
    own = not saved and not total.name.startswith(f'{user.name}_')
    return user.args == (total, count) and not own
