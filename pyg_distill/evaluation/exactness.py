"""Does a model see the same in tree sets as in graphs? Try it."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.dataset import Dataset

from pyg_distill.datasets.progress import Progress
from pyg_distill.evaluation.calling import call_by_name
from pyg_distill.nn import RootReadout
from pyg_distill.transforms import ToComputationTrees
from pyg_distill.transforms.reading import read_graph
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
    level: str

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
    encoder: str | None = None,
    exclude_keys: Sequence[str] | None = None,
    max_graphs: int = 64,
    forward: Callable[[torch.nn.Module, Data], Tensor] | None = None,
    log: bool = True,
) -> Exactness:
    r"""Compares a model's outputs on graphs and on their tree sets.

    The model, in evaluation mode and with the weights that it has, is run on
    some graphs and on what :class:`~pyg_distill.transforms.ToComputationTrees`
    makes of them. If it returns a row a node, the embeddings of nodes are
    compared with those of their roots, otherwise the outputs of the graphs.

    .. code-block:: python

        print(check_exact(gnn, dataset, num_layers=3))
        # exact at num_layers=3: largest deviation 4.8e-07 of node outputs ...

    Args:
        model (torch.nn.Module): An encoder that returns node embeddings, or a
            model for graphs that passes on :obj:`root_index` and
            :obj:`root_count`, or any other model if :obj:`encoder` is given.
        source (Dataset or list): The graphs, of which the first
            :obj:`max_graphs` are used.
        num_layers (int): The depth of the trees.
        encoder (str, optional): The submodule that returns node embeddings,
            see :class:`~pyg_distill.nn.RootReadout`. (default: :obj:`None`)
        exclude_keys (list, optional): Names of attributes that are left out.
            (default: :obj:`None`)
        max_graphs (int, optional): The number of graphs to compare.
            (default: :obj:`64`)
        forward (callable, optional): Calls the model with a mini-batch.
            Without, its arguments are looked up in the batch by their names.
            (default: :obj:`None`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Returns:
        Exactness: The deviation; it is true if the model is exact.

    Raises:
        TypeError: If :obj:`source` is one graph.
        ValueError: If the model cannot be called or its outputs cannot be
            compared.
    """
    if isinstance(source, Data):
        raise TypeError(
            f"'check_exact' expects a data set or a list of graphs (got one "
            f"'{type(source).__name__}'); pass [data]"
        )
    with Progress('Comparing graphs with their tree sets', log):
        return _check(
            model,
            source,
            num_layers,
            encoder,
            exclude_keys,
            max_graphs,
            forward,
        )


def _check(
    model: torch.nn.Module,
    source: Dataset | Sequence[Data],
    num_layers: int,
    encoder: str | None,
    exclude_keys: Sequence[str] | None,
    max_graphs: int,
    forward: Callable[[torch.nn.Module, Data], Tensor] | None,
) -> Exactness:
    to_trees = ToComputationTrees(num_layers, exclude_keys=exclude_keys)
    graphs = [source[i] for i in range(min(len(source), max_graphs))]
    if not graphs:
        raise ValueError(
            "'check_exact' needs at least one graph (got an empty source); "
            'check the split'
        )
    graph_batch = Batch.from_data_list(graphs)
    tree_batch = Batch.from_data_list([to_trees(data) for data in graphs])
    for parameter in model.parameters():
        graph_batch = graph_batch.to(parameter.device)
        tree_batch = tree_batch.to(parameter.device)
        break

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
        if expected.size(0) == graph_batch.num_nodes:
            level = 'node'
            out = run(model, tree_batch)
            roots = tree_batch.root_index
            root = _roots(graphs, num_layers, to_trees.exclude_keys)
            out = out[roots][root.to(out.device)]
        else:
            level = 'graph'
            out = run(tree_model, tree_batch)
    if out.size() != expected.size():
        raise ValueError(
            f"'{type(model).__name__}' returned {list(out.size())} for tree "
            f'sets and {list(expected.size())} for graphs; it must return one '
            f'row a node or a graph'
        )
    deviation = (out - expected).abs()
    result = Exactness(
        deviation=float(deviation.max()) if deviation.numel() else 0.0,
        scale=float(expected.abs().max()) if expected.numel() else 0.0,
        num_layers=num_layers,
        num_graphs=len(graphs),
        level=level,
    )
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


def _roots(
    graphs: list[Data], num_layers: int, exclude_keys: Sequence[str]
) -> Tensor:
    # The root of each node: its number among all roots of the batch.
    out, start = [], 0
    for data in graphs:
        read, _ = read_graph(data, exclude_keys, 'check_exact')
        tree = Forest(read, num_layers).distinct()
        out.append(tree.inverse + start)
        start += tree.first.numel()
    return torch.cat(out)
