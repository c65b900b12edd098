"""Every cell of the table of readouts, compared with that of all nodes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.exc import Unsupported
from torch.nn import Linear, Module
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GraphConv, LayerNorm, SAGPooling
from torch_geometric.nn.aggr import (
    MeanAggregation,
    MedianAggregation,
    SumAggregation,
)

from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import RootAggregation, RootReadout, global_root_pool
from pyg_distill.transforms import ToComputationTrees
from tests.cheat_sheet.reading import read_table
from tests.graphs import random_graph

TABLE = read_table('Readouts')
GRAPHS = [random_graph(seed=i) for i in range(4)]
TREES = [ToComputationTrees(1)(data) for data in GRAPHS]
ORDINARY = next(iter(DataLoader(GRAPHS, 4)))
TREE_SETS = next(iter(DataLoader(TREES, 4)))
SHARED = next(iter(TreeSetLoader(GRAPHS, 4, num_layers=1)))
ROOTS = ('root_index', 'root_count', 'root_index_batch')


class Pooled(Module):
    """After a layer, whatever the row adds, and a readout."""

    def __init__(self, aggr: Module, after: Module | None = None) -> None:
        super().__init__()
        self.gnn, self.head = GraphConv(2, 8), Linear(8, 3)
        self.aggr, self.after = aggr, after

    def encode(self, x: Tensor, edge_index: Tensor, batch: Any) -> Any:
        x = self.gnn(x, edge_index)
        if isinstance(self.after, SAGPooling):
            x, _, _, batch, *_ = self.after(x, edge_index, batch=batch)
        return x, batch

    def forward(
        self, x: Tensor, edge_index: Tensor, batch: Any = None
    ) -> Tensor:
        x, batch = self.encode(x, edge_index, batch)
        if isinstance(self.after, LayerNorm):
            x = self.after(x)
        return self.head(self.aggr(x, batch))


class AtRoots(Pooled):
    """The same, for whoever calls the readout of this package himself."""

    def __init__(self, model: Pooled, pool: Any) -> None:
        Module.__init__(self)
        self.gnn, self.head, self.after = model.gnn, model.head, model.after
        self.pool = pool

    def forward(
        self, x: Tensor, edge_index: Tensor, batch: Any = None, **kwargs: Any
    ) -> Tensor:
        x, batch = self.encode(x, edge_index, batch)
        if isinstance(self.after, LayerNorm):
            x = self.after(x)
        return self.head(self.pool(x, batch, **kwargs))


REDUCE = {SumAggregation: 'sum', MeanAggregation: 'mean'}


def by_function(model: Pooled) -> Module:
    reduce = REDUCE.get(type(model.aggr), type(model.aggr).__name__)

    def pool(x: Tensor, batch: Any, **kwargs: Any) -> Tensor:
        return global_root_pool(x, batch, reduce=reduce, **kwargs)

    return AtRoots(model, pool)


COLUMNS: dict[str, Callable[[Pooled], Module]] = {
    'global_root_pool': by_function,
    'RootAggregation': lambda m: AtRoots(m, RootAggregation(m.aggr)),
    'RootReadout': lambda m: RootReadout(m, encoder='gnn'),
}


def compare(
    column: str,
    data: Any = TREE_SETS,
    aggr: type[Module] = SumAggregation,
    after: Module | None = None,
    wrap: Callable[[Module], Any] = lambda model: model,
) -> None:
    model = Pooled(aggr(), after).eval()
    given = ORDINARY.x, ORDINARY.edge_index, ORDINARY.batch
    expected = model(*given)
    roots = {name: data[name] for name in ROOTS if name in data}
    readout = wrap(COLUMNS[column](model))
    out = readout(data.x, data.edge_index, data.get('batch'), **roots)
    out.sum().backward()
    assert_close(out, expected, rtol=1e-4, atol=1e-5)


def compiled(model: Module) -> Any:
    torch.compiler.reset()
    return torch.compile(model, fullgraph=True, backend='eager')


ROWS: dict[str, dict[str, Any]] = {
    'Tree sets': {},
    'Batches of TreeSetLoader': {'data': SHARED},
    'Ordinary graphs': {'data': ORDINARY},
    'Sum and mean': {'aggr': MeanAggregation},
    'Any Aggregation': {'aggr': MedianAggregation},
    'Layers a node between encoder and readout': {
        'after': LayerNorm(8, mode='node')
    },
    'Pooling layers between encoder and readout': {'after': SAGPooling(8)},
    'torch.compile, without graph breaks': {'wrap': compiled},
    'DistributedDataParallel': {'wrap': DistributedDataParallel},
}


def test_rows_and_columns() -> None:
    assert {row for row, _ in TABLE} == ROWS.keys()
    assert {column for _, column in TABLE} == COLUMNS.keys()


@pytest.mark.parametrize(('row', 'column'), TABLE)
def test_cell(row: str, column: str, process_group: None) -> None:
    cell = TABLE[row, column]
    if cell == 'with breaks':
        with pytest.raises(Unsupported):
            compare(column, **ROWS[row])
        compare(column, wrap=torch.compile(backend='eager'))
    elif cell == 'no':
        # Roots that a pooling layer has dropped.
        with pytest.raises(
            (ValueError, IndexError), match=r'encoder=|reduce|bounds'
        ):
            compare(column, **ROWS[row])
    else:
        assert cell == 'yes'
        compare(column, **ROWS[row])
