"""Every cell of the table of losses: two training steps of a distiller."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch.nn.parallel import DistributedDataParallel
from torch_geometric.nn import GAT, GCN, GIN, global_add_pool
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor
from torch_geometric.utils import subgraph, to_torch_csr_tensor

from pyg_distill.nn import (
    ABKDLoss,
    ATLoss,
    Distiller,
    FitNetLoss,
    GCRDLoss,
    GSPLoss,
    KDLoss,
    LSPLoss,
    StrideLoss,
)
from tests.cheat_sheet.reading import read_table
from tests.nn.distiller.models import Hetero, graph, hetero_graph

TABLE = read_table('Losses')
X, EDGE_INDEX = graph()
LOSSES: dict[str, list[Any]] = {
    'ABKDLoss': [ABKDLoss, partial(ABKDLoss, attention='learned')],
    'ABKDLoss, cached teacher': [ABKDLoss],
    'StrideLoss': [StrideLoss],
    'KDLoss': [KDLoss()],
    'LSPLoss': [LSPLoss],
    'The others': [FitNetLoss, ATLoss, GSPLoss, GCRDLoss],
}


class Classifier(Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gnn, self.head = GIN(4, width, 2), Linear(width, 5)

    def forward(self, x: Any, edge_index: Any, batch: Any) -> Any:
        return self.head(global_add_pool(self.gnn(x, edge_index), batch))


def plain(width: int, layers: int) -> Module:
    return GCN(4, width, layers, 5)


def train(
    loss: Any,
    cache: bool = False,
    model: Callable[[int, int], Module] = plain,
    inputs: tuple = (X, EDGE_INDEX),
    wrap: Callable[[Any], Any] = lambda model: model,
    nodes: Tensor | None = None,
    **context: Any,
) -> None:
    """Gradients reach the student and are finite."""
    student, teacher = model(8, 2), model(16, 3)
    distiller = Distiller.from_example(
        student, teacher, inputs, {'loss': loss}, cache=cache
    ).train()
    if loss is LSPLoss:
        context['edge_index'] = inputs[1]
    if nodes is not None:
        edge_index, _ = subgraph(nodes, inputs[1], relabel_nodes=True)
        inputs = inputs[0][nodes], edge_index
    run = wrap(distiller)
    for _ in range(2):
        run(*inputs)
        value = distiller.loss(**context)
        value.backward()
    grads = [p.grad for p in student.parameters() if p.grad is not None]
    assert value.isfinite()
    assert any(bool((grad != 0).any()) for grad in grads)
    assert all(bool(grad.isfinite().all()) for grad in grads)


def autocast(distiller: Module) -> Any:
    return torch.autocast('cpu', dtype=torch.bfloat16)(distiller)


def sparse_tensor() -> Any:
    if not WITH_TORCH_SPARSE:
        return None
    return SparseTensor.from_edge_index(EDGE_INDEX, sparse_sizes=(14, 14)).t()


HETERO = hetero_graph()
ROWS: dict[str, dict[str, Any]] = {
    'Edge features as an argument': {
        'model': lambda width, layers: GAT(4, width, layers, 5, edge_dim=3),
        'inputs': (X, EDGE_INDEX, None, torch.rand(40, 3)),
    },
    'torch.sparse adjacency': {
        'inputs': (X, to_torch_csr_tensor(EDGE_INDEX, size=(14, 14)))
    },
    'SparseTensor adjacency': {'inputs': (X, sparse_tensor())},
    'Node types': {
        'model': Hetero,
        'inputs': (HETERO.x_dict, HETERO.edge_index_dict),
    },
    'Whole graphs, with a readout': {
        'model': lambda width, layers: Classifier(width),
        'inputs': (X, EDGE_INDEX, torch.arange(14) // 7),
    },
    'Seed nodes of a mini-batch': {
        'nodes': torch.arange(2, 12),
        'batch_size': 5,
    },
    'Several labels of a node': {},
    'Regression': {'model': lambda width, layers: GCN(4, width, layers, 1)},
    'DistributedDataParallel': {'wrap': DistributedDataParallel},
    'torch.autocast': {'wrap': autocast},
}


# Compiling takes long: tests/nn compiles whole steps.
ELSEWHERE = {'torch.compile of a whole step'}
OPTIONS: dict[str, dict[str, Any]] = {
    'n_id': {'n_id': torch.arange(2, 12)},
    'multi_label=True': {'loss': KDLoss(multi_label=True)},
}


def test_rows_and_columns() -> None:
    assert {row for row, _ in TABLE} == ROWS.keys() | ELSEWHERE
    assert {column for _, column in TABLE} == LOSSES.keys()


@pytest.mark.parametrize(('row', 'column'), TABLE)
def test_cell(row: str, column: str, request: pytest.FixtureRequest) -> None:
    if row == 'DistributedDataParallel':
        request.getfixturevalue('process_group')
    cell = TABLE[row, column]
    if row in ELSEWHERE:
        assert cell == 'yes'
        return
    if 'SparseTensor' in row and not WITH_TORCH_SPARSE:
        pytest.skip('needs torch-sparse')
    cache = column.endswith('cached teacher')
    for loss in LOSSES[column]:
        if cell in ('no', 'n_id'):
            with pytest.raises(ValueError, match=r'\(got |n_id=data.n_id'):
                train(loss, cache, **ROWS[row])
        if cell != 'no':
            options = {'loss': loss, **ROWS[row], **OPTIONS.get(cell, {})}
            train(cache=cache, **options)
