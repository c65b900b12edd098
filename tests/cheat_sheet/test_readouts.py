"""Every cell of the table of readouts, compared with that of all nodes."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
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
ORDINARY = next(iter(DataLoader(GRAPHS, 4)))
TREE_SETS = next(iter(DataLoader(list(map(ToComputationTrees(1), GRAPHS)), 4)))
SHARED = next(iter(TreeSetLoader(GRAPHS, 4, num_layers=1)))
ROOTS = ('root_index', 'root_count', 'root_index_batch')


class Model(Module):
    """A layer, what the row puts after it, and a readout."""

    def __init__(self, pool: Any, after: Module | None = None) -> None:
        super().__init__()
        self.gnn, self.head = GraphConv(2, 8), Linear(8, 3)
        self.pool, self.after = pool, after

    def forward(
        self, x: Tensor, edge_index: Tensor, batch: Any = None, **roots: Any
    ) -> Tensor:
        x = self.gnn(x, edge_index)
        if isinstance(self.after, SAGPooling):
            x, _, _, batch, *_ = self.after(x, edge_index, batch=batch)
        elif self.after is not None:
            x = self.after(x)
        return self.head(self.pool(x, batch, **roots))


def with_pool(model: Model, pool: Any) -> Model:
    model = deepcopy(model)
    del model.pool
    model.pool = pool
    return model


REDUCE = {SumAggregation: 'sum', MeanAggregation: 'mean'}
COLUMNS: dict[str, Callable[[Model], Module]] = {
    'global_root_pool': lambda m: with_pool(
        m,
        partial(global_root_pool, reduce=REDUCE.get(type(m.pool), str(m.pool))),
    ),
    'RootAggregation': lambda m: with_pool(m, RootAggregation(m.pool)),
    'RootReadout': lambda m: RootReadout(m, encoder='gnn'),
}


def compare(
    column: str,
    data: Any = TREE_SETS,
    aggr: type[Module] = SumAggregation,
    after: Module | None = None,
    wrap: Callable[[Module], Any] = lambda model: model,
) -> None:
    model = Model(aggr(), after).eval()
    expected = model(ORDINARY.x, ORDINARY.edge_index, ORDINARY.batch)
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
    'Layers of single nodes after the encoder': {
        'after': LayerNorm(8, mode='node')
    },
    'Pooling layers after the encoder': {'after': SAGPooling(8)},
    'torch.compile without graph breaks': {'wrap': compiled},
    'DistributedDataParallel': {'wrap': DistributedDataParallel},
}


def test_rows_and_columns() -> None:
    assert {row for row, _ in TABLE} == ROWS.keys()
    assert {column for _, column in TABLE} == COLUMNS.keys()


@pytest.mark.parametrize(('row', 'column'), TABLE)
def test_cell(row: str, column: str, request: pytest.FixtureRequest) -> None:
    if row == 'DistributedDataParallel':
        request.getfixturevalue('process_group')
    cell = TABLE[row, column]
    if cell == 'with breaks':
        with pytest.raises(Unsupported):
            compare(column, **ROWS[row])
        compare(column, wrap=torch.compile(backend='eager'))
    elif cell == 'no':
        # A pooling layer has dropped roots.
        with pytest.raises(
            (ValueError, IndexError),
            match=r'encoder=|reduce|bounds|range',
        ):
            compare(column, **ROWS[row])
    else:
        assert cell == 'yes'
        compare(column, **ROWS[row])
