"""Does a model compute the same on tree sets as on their graphs?"""

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.dataset import Dataset
from tqdm import tqdm

from pyg_distill.data import read_table
from pyg_distill.nn import RootReadout
from pyg_distill.transforms import ToComputationTrees
from pyg_distill.trees import Forest

_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Exactness:
    """How far a model's output on tree sets is from that on the graphs.

    Attributes:
        deviation: The largest absolute deviation.
        scale: The largest absolute output on the graphs.
        num_layers: The depth of the trees.
        num_graphs: The number of graphs compared.
        level: Whether embeddings of nodes or outputs of graphs were compared,
            :obj:`"node"` or :obj:`"graph"`.
    """

    deviation: float
    scale: float
    num_layers: int
    num_graphs: int
    level: Literal['node', 'graph']

    @property
    def exact(self) -> bool:
        """Whether the deviation is of the size of rounding errors."""
        return self.deviation <= _TOLERANCE * self.scale

    def __bool__(self) -> bool:
        return self.exact

    def __str__(self) -> str:
        verdict = 'exact' if self.exact else 'NOT exact'
        return (
            f'{verdict} at num_layers={self.num_layers}: largest deviation '
            f'{self.deviation:.1e} of {self.level} outputs up to '
            f'{self.scale:.1e} in {self.num_graphs} graphs'
        )


def check_exact(
    model: torch.nn.Module,
    source: Dataset | Sequence[Data],
    num_layers: int,
    *,
    encoder: str | None = None,
    exclude_keys: Sequence[str] | None = None,
    max_graphs: int = 64,
    forward: Callable[[torch.nn.Module, Data], Tensor] | None = None,
    log: bool = True,
) -> Exactness:
    r"""Compares a model's outputs on graphs and on their tree sets.

    A copy of the model in evaluation mode reads some graphs, and the same
    graphs after :class:`~pyg_distill.transforms.ToComputationTrees`. If it
    returns one row a node, the embeddings of nodes are compared with those of
    their roots; otherwise, the outputs of the graphs are compared.

    .. code-block:: python

        print(check_exact(gnn, dataset, num_layers=3))
        # exact at num_layers=3: largest deviation 4.8e-07 of node outputs ...

    Args:
        model (torch.nn.Module): An encoder that returns node embeddings, a
            model for graphs that pools with
            :meth:`~pyg_distill.nn.global_root_pool`, or any other model if
            :obj:`encoder` is given.
        source (Dataset or list): The graphs; the first :obj:`max_graphs` are
            used.
        num_layers (int): The depth of the trees.
        encoder (str, optional): The submodule that returns node embeddings,
            see :class:`~pyg_distill.nn.RootReadout`. (default: :obj:`None`)
        exclude_keys (list, optional): Names of attributes that are left out.
            (default: :obj:`None`)
        max_graphs (int, optional): The number of graphs to compare.
            (default: :obj:`64`)
        forward (callable, optional): Calls the model with a mini-batch. By
            default, each argument is the attribute of the mini-batch with its
            name. (default: :obj:`None`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Returns:
        Exactness: The deviation; it is true if the model is exact.

    Raises:
        ValueError: If there are no graphs, the model cannot be called, or its
            outputs cannot be compared.
    """
    if isinstance(source, Data) or len(source) == 0:
        raise ValueError(
            f"'source' must hold graphs (got {source}); pass a slice of a data "
            f'set, or [data]'
        )
    to_trees = ToComputationTrees(num_layers, exclude_keys=exclude_keys)
    graphs = [source[i] for i in range(min(len(source), max_graphs))]
    bar = tqdm(graphs, 'Building trees', disable=not log, delay=1)
    graph_batch = Batch.from_data_list(graphs)
    tree_batch = Batch.from_data_list(
        [to_trees(data) for data in bar],
        exclude_keys=['num_layers'],  # Models warn of a depth that is tested.
    )
    device = next((p.device for p in model.parameters()), 'cpu')
    graph_batch, tree_batch = graph_batch.to(device), tree_batch.to(device)
    run = forward or call_by_name
    model = copy.deepcopy(model).eval()
    tree_model = model if encoder is None else RootReadout(model, encoder)
    with torch.no_grad():
        expected = run(model, graph_batch)
        if not isinstance(expected, Tensor) or expected.dim() == 0:
            raise ValueError(
                f"'{type(model).__name__}' must return a tensor of one row a "
                f"node or a graph (got '{type(expected).__name__}'); pick one "
                f'with forward=...'
            )
        level: Literal['node', 'graph'] = 'graph'
        if expected.size(0) == graph_batch.num_nodes:
            level, tree_model = 'node', model
        out = run(tree_model, tree_batch)
        if level == 'node':
            root = _root_of_node(graphs, num_layers, to_trees.exclude_keys)
            out = out[tree_batch.root_index[root.to(out.device)]]
    if out.size() != expected.size():
        raise ValueError(
            f"'{type(model).__name__}' returned {list(out.size())} for tree "
            f'sets and {list(expected.size())} for graphs; it must return one '
            f'row a node or a graph'
        )
    deviation, scale = (
        float(x.abs().max()) if x.numel() else 0.0
        for x in (out - expected, expected)
    )
    result = Exactness(deviation, scale, num_layers, len(graphs), level)
    by_name = encoder is None and forward is None and level == 'graph'
    if by_name and not result and _ignores_roots(model, tree_batch, out):
        raise ValueError(
            f"'{type(model).__name__}' pools nodes without reading "
            f"'root_index'; name the submodule that returns node embeddings "
            f"with encoder=..., or pool with 'global_root_pool'"
        )
    return result


def _ignores_roots(model: torch.nn.Module, data: Data, out: Tensor) -> bool:
    if data.root_index.numel() == data.num_nodes:
        return False
    data = copy.copy(data)
    del data.root_index, data.root_count
    try:
        with torch.no_grad():
            return torch.equal(call_by_name(model, data), out)
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _root_of_node(
    graphs: list[Data], num_layers: int, exclude_keys: Sequence[str]
) -> Tensor:
    """The root of each node: its number among all roots of the batch."""
    out, start = [], 0
    for data in graphs:
        table = read_table([data], exclude_keys=exclude_keys)
        tree = Forest(table.graphs, num_layers).distinct()
        out.append(tree.inverse + start)
        start += tree.first.numel()
    return torch.cat(out)


def call_by_name(model: torch.nn.Module, data: Data) -> Any:
    """Calls a model with the attributes that its arguments are named after."""
    if isinstance(model, RootReadout):
        return model(data)
    kwargs = {}
    for parameter in inspect.signature(model.forward).parameters.values():
        if parameter.name == 'data':
            kwargs['data'] = data
        elif parameter.name in data:
            kwargs[parameter.name] = data[parameter.name]
        elif parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            raise ValueError(
                f"'{type(model).__name__}' has an argument {parameter.name!r} "
                f'that the graphs do not have (got {data}); say how to call '
                f'it with forward=...'
            )
    return model(**kwargs)
