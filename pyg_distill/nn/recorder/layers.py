"""Which modules of a model are recorded as its layers."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeAlias

import torch
import torch_geometric.nn as pyg_nn
from torch.fx import GraphModule, Node
from torch.nn.parallel import DataParallel
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.conv.cugraph.base import CuGraphModule
from torch_geometric.nn.models.rev_gnn import InvertibleModule
from torch_geometric.nn.to_hetero_transformer import key2str
from torch_geometric.nn.to_hetero_with_bases_transformer import HeteroBasisConv

# Those that pass messages, and those that wrap such a module and return more
# than it does.
_LAYERS = (
    CuGraphModule,
    HeteroBasisConv,
    InvertibleModule,
    MessagePassing,
    pyg_nn.AntiSymmetricConv,
    pyg_nn.DeepGCNLayer,
    pyg_nn.DenseGATConv,
    pyg_nn.DenseGCNConv,
    pyg_nn.DenseGINConv,
    pyg_nn.DenseGraphConv,
    pyg_nn.DenseSAGEConv,
    pyg_nn.DirGNNConv,
    pyg_nn.GPSConv,
    pyg_nn.HeteroConv,
    pyg_nn.MetaLayer,
    pyg_nn.XConv,
)
# They pass messages only to score nodes.
_POOLS = (pyg_nn.Aggregation, pyg_nn.ASAPooling, pyg_nn.SAGPooling)
_CONTAINERS = (torch.nn.ModuleDict, torch.nn.ModuleList)

# The name of a part, a number, or a function and its arguments.
Formula: TypeAlias = Any


class Layer(NamedTuple):
    """A layer to record: the modules to hook, by the part they compute.

    A layer that `to_hetero` has split has several parts, and a formula that
    combines them for each node type. Others have one part of no name.
    """

    name: str
    modules: dict[str, torch.nn.Module]
    formulas: dict[str, Formula] | None = None


def find_layers(model: torch.nn.Module, layers: Any) -> list[Layer]:
    """Finds what "auto", names, patterns or modules stand for."""
    modules = dict(model.named_modules())
    split = {
        f'{prefix}.{name}' if prefix else name: formulas
        for prefix, module in modules.items()
        if isinstance(module, GraphModule)
        for name, formulas in _split_layers(module).items()
    }
    auto = _outermost(model, split)
    known = auto or [
        name
        for name, module in modules.items()
        if name and not isinstance(module, _CONTAINERS)
    ]
    if isinstance(layers, str) and layers == 'auto':
        if not auto and not isinstance(model, _LAYERS):
            raise ValueError(
                f"'layers' must be given for '{type(model).__name__}', which "
                f'passes no messages (got {layers!r}); try {shorten(known)}'
            )
        names = auto or ['']
    else:
        names = list(dict.fromkeys(_resolve(model, layers, known)))

    found = []
    for name in names:
        formulas, parts = split.get(name), {'': modules[name]}
        if formulas is not None:
            parts = {
                part: modules[f'{name}.{part}']
                for formula in formulas.values()
                for part in _parts(formula)
            }
        elif isinstance(modules[name], _CONTAINERS):
            raise ValueError(
                f"'layers' must name modules that are called (got {name!r}, "
                f"a '{type(modules[name]).__name__}'); try '{name}.*'"
            )
        found.append(Layer(name, parts, formulas))
    return found


def _outermost(model: torch.nn.Module, split: dict[str, Any]) -> list[str]:
    """Names the layers that are in no other layer."""
    found: dict[str, torch.nn.Module] = {}

    def visit(name: str, module: torch.nn.Module) -> None:
        for key, child in module.named_children():
            inner = f'{name}.{key}' if name else key
            layer = isinstance(child, _LAYERS)
            if inner in split:
                layer = all(isinstance(m, _LAYERS) for m in child.children())
            if layer and child not in found.values():
                found[inner] = child
            elif not layer and not isinstance(child, _POOLS):
                visit(inner, child)

    visit('', model)
    # A module may have a second name, beside that in its wrapper.
    inside = {m for module in found.values() for m in [*module.modules()][1:]}
    return [name for name, module in found.items() if module not in inside]


def _resolve(
    model: torch.nn.Module, layers: Any, known: list[str]
) -> list[str]:
    """Names the modules that names, patterns and modules stand for."""
    # Of a list that belongs to the model, its modules are meant.
    if isinstance(layers, str) or (
        isinstance(layers, torch.nn.Module)
        and not isinstance(layers, torch.nn.ModuleList)
    ):
        layers = [layers]
    if not isinstance(layers, Iterable) or isinstance(layers, dict):
        raise TypeError(
            f"'layers' must be 'auto' or names or modules (got "
            f"'{type(layers).__name__}'); leave it out for 'auto'"
        )
    # A module may have several names. The first one stands for all.
    first = {id(module): name for name, module in model.named_modules()}
    names = {
        name: first[id(module)]
        for name, module in model.named_modules(remove_duplicate=False)
    }
    found: list[str] = []
    for layer in layers:
        if isinstance(layer, torch.nn.Module):
            matches = [first[id(layer)]] if id(layer) in first else []
            got = f"a '{type(layer).__name__}' that is not in it"
        elif isinstance(layer, str):
            matches = [names[n] for n in names if _matches(n, layer)]
            got = repr(layer)
        else:
            raise TypeError(
                f"'layers' must hold names or modules (got "
                f"'{type(layer).__name__}'); pass for example ['convs.*']"
            )
        if not matches:
            raise ValueError(
                f"'layers' must name submodules of '{type(model).__name__}' "
                f'(got {got}); try {shorten(known)}'
            )
        found += matches
    if not found:
        raise ValueError(
            "'layers' must hold at least one layer (got none); leave it out"
        )
    return found


def _matches(name: str, pattern: str) -> bool:
    # A star must not match across dots.
    parts, patterns = name.split('.'), pattern.split('.')
    return name == pattern or (
        len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
    )


def shorten(names: list[str], limit: int = 8) -> str:
    """Lists names, but only the first few and the last one of many."""
    if len(names) > limit:
        names = [*names[: limit - 2], '...', names[-1]]
    return ', '.join(names) or 'none'


def check_layers(
    model: torch.nn.Module, layers: list[Layer], clone: bool, detach: bool
) -> None:
    """Refuses layers that hooks would miss or capture wrongly."""
    hooked = {id(m): layer for layer in layers for m in layer.modules.values()}
    for name, module in model.named_modules():
        inside = [hooked[id(m)] for m in module.modules() if id(m) in hooked]
        if not inside:
            continue
        check_hooks(f'{name or "model"!r}', module)
        if not isinstance(module, InvertibleModule) or module.disable:
            continue
        if id(module) in hooked and not clone:
            raise ValueError(
                f"'{name}' is reversible and frees what it returned; pass "
                f'clone=True, or build it with disable=True'
            )
        layer = next((la for la in inside if la.name != name), None)
        if not detach and layer is not None:
            raise ValueError(
                f"'{layer.name}' runs without gradients in '{name}', which is "
                f'reversible; record that, or build it with disable=True'
            )


def check_hooks(name: str, module: Any) -> None:
    """Refuses a module whose hooks never run, or run in replicas."""
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"{name} must be a torch.nn.Module (got '{type(module).__name__}')"
        )
    if isinstance(module, DataParallel):
        raise ValueError(
            f"{name} cannot be recorded in '{type(module).__name__}'; use "
            f'DistributedDataParallel'
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            f'{name} is scripted and runs no hooks; record the model before it'
        )
    compiled = getattr(module, '_compiled_call_impl', None)
    if '_orig_mod' in module._modules or compiled is not None:
        raise ValueError(
            f'{name} is compiled and may run no hooks; attach the recorder '
            f'first, then compile'
        )


def _split_layers(module: GraphModule) -> dict[str, dict[str, Formula]]:
    """Finds the layers that PyG's `to_hetero` has split by relation.

    Such a layer has one module a relation. No module returns its output for a
    node type, which is a chain of functions of what the relations return.
    """
    types: dict[str, Any] = {}
    for node in module.graph.nodes:
        get = node.op == 'call_method' and node.target == 'get'
        if get and isinstance(node.args[1], str | tuple):
            types[key2str(node.args[1])] = node.args[1]
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
            part = module.get_submodule(node.target)
            if not isinstance(part, MessagePassing):
                continue
            key = key[-1]
        layers.setdefault(name, {}).setdefault(key, []).append(node)
    return {
        name: {key: _formula(nodes) for key, nodes in layer.items()}
        for name, layer in layers.items()
    }


def _formula(nodes: list[Node]) -> Formula:
    """How the model combines the outputs of relations."""
    formulas: dict[Node, Formula] = {
        node: str(node.target).rpartition('.')[2] for node in nodes
    }
    last = nodes[0]
    while len(formulas) > 1:
        # Nothing else reads the outputs of relations before they are combined.
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


def _parts(formula: Formula) -> list[str]:
    """The names of the parts that a formula reads."""
    if isinstance(formula, tuple):
        return [name for arg in formula[1:] for name in _parts(arg)]
    return [formula] if isinstance(formula, str) else []


def evaluate(formula: Formula, parts: dict[str, Any]) -> Any:
    """The value of a formula, given those of its parts."""
    if isinstance(formula, tuple):
        function, *args = formula
        return function(*(evaluate(arg, parts) for arg in args))
    return parts[formula] if isinstance(formula, str) else formula
