"""Every cell of the table of graphs, tried."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch_geometric.data import Data, Dataset, InMemoryDataset
from torch_geometric.nn import GIN
from torch_geometric.transforms import ToSparseTensor
from torch_geometric.typing import WITH_TORCH_SPARSE

from pyg_distill.datasets import MirageDataset
from pyg_distill.evaluation import evaluate
from pyg_distill.loader import TreeSetLoader
from pyg_distill.transforms import ToComputationTrees
from tests.cheat_sheet.reading import read_table
from tests.graphs import random_graph

TABLE = read_table('Graphs')


class Stored(InMemoryDataset):
    def __init__(self, graphs: list[Data], **kwargs: Any) -> None:
        super().__init__(None, **kwargs)
        self.data, self.slices = self.collate(graphs)


class Folder(Dataset):
    """Not in memory: graphs are read one at a time."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs
        super().__init__(None)

    def len(self) -> int:
        return len(self.graphs)

    def get(self, idx: int) -> Data:
        return self.graphs[idx].clone()


class Chunks:
    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs

    def __iter__(self) -> Any:
        yield self.graphs[:2]
        yield self.graphs[2:]


def mirage(graphs: Any, **kwargs: Any) -> Data:
    return MirageDataset(graphs, 2, num_graphs=2, **kwargs)[0]


def mirage_trees(graphs: Any, **kwargs: Any) -> Data:
    return MirageDataset(graphs, 2, selection='lossless', **kwargs)[0]


def transform(graphs: Any, **kwargs: Any) -> Data:
    return ToComputationTrees(2, **kwargs)(graphs[0])


def loader(graphs: Any, **kwargs: Any) -> Data:
    return next(iter(TreeSetLoader(graphs, 4, num_layers=2, **kwargs)))


def evaluation(graphs: Any, **kwargs: Any) -> None:
    pytest.importorskip('sklearn')
    options = {'runs': 1, 'steps': 1, 'readouts': ['sum'], 'models': [GIN]}
    sets = [graphs, graphs, graphs]
    evaluate(sets[0], test=sets[1], val=sets[2], log=False, **options, **kwargs)


TAKE: dict[str, Callable] = {
    'MirageDataset': mirage,
    '... with trees': mirage_trees,
    'ToComputationTrees': transform,
    'TreeSetLoader': loader,
    'evaluate': evaluation,
}


def graphs(**changes: Callable[[Data], Any]) -> list[Data]:
    """Graphs of two classes, with attributes changed one after the other."""
    out = [random_graph(seed=i) for i in range(4)]
    for i, data in enumerate(out):
        data.y = torch.tensor([i % 2])
        for name, change in changes.items():
            data[name] = change(data)
    return out


ROWS: dict[str, Callable[[], Iterable]] = {
    'Edge features, edge_attr': lambda: graphs(
        edge_attr=lambda data: data.edge_index.t().float()
    ),
    'Edge weights, edge_weight': lambda: graphs(
        edge_weight=lambda data: torch.ones(data.num_edges)
    ),
    'Directed edges': lambda: graphs(
        edge_index=lambda data: data.edge_index[:, data.edge_index[0] < 6]
    ),
    'Self-loops, parallel edges, isolated nodes': lambda: graphs(
        edge_index=lambda data: torch.tensor([[0, 0, 0], [0, 1, 1]])
    ),
    'Graphs without edges': lambda: graphs(
        edge_index=lambda data: data.edge_index[:, :0]
    ),
    'No node features': lambda: graphs(
        num_nodes=lambda data: data.num_nodes, x=lambda data: None
    ),
    'Category codes as x': lambda: graphs(
        x=lambda data: data.x.argmax(dim=1, keepdim=True)
    ),
    'Other attributes of nodes or edges': lambda: graphs(
        pos=lambda data: torch.rand(data.num_nodes, 3)
    ),
    'Several labels of a graph': lambda: graphs(
        y=lambda data: torch.ones(1, 3)
    ),
    'Regression': lambda: graphs(y=lambda data: torch.rand(1)),
    'No y': lambda: graphs(y=lambda data: None),
    'A label for each node': lambda: graphs(
        y=lambda data: torch.zeros(data.num_nodes, dtype=torch.long)
    ),
    'adj_t, a torch.sparse tensor': lambda: [
        ToSparseTensor(layout=torch.sparse_csr)(data) for data in graphs()
    ],
    'adj_t, a SparseTensor': lambda: list(map(ToSparseTensor(), graphs())),
    'HeteroData': lambda: [data.to_heterogeneous() for data in graphs()],
    'A transform of the source': lambda: Stored(
        graphs(), transform=lambda data: data.update({'name': 1})
    ),
    'A Dataset that is not in memory': lambda: Folder(graphs()),
    'An iterable of chunks': lambda: Chunks(graphs()),
    'Shards of several processes': graphs,
}
OPTIONS: dict[str, dict[str, Any]] = {
    'exclude_keys': {'exclude_keys': ['pos']},
    'encode': {'encode': torch.Tensor.float},
}
KEPT = {
    'Edge features, edge_attr': 'edge_attr',
    'Edge weights, edge_weight': 'edge_weight',
    'Several labels of a graph': 'y',
    'Regression': 'y',
}


def test_rows_and_columns() -> None:
    assert {row for row, _ in TABLE} == ROWS.keys()
    assert {column for _, column in TABLE} == TAKE.keys()


@pytest.mark.parametrize(('row', 'column'), TABLE)
def test_cell(row: str, column: str, request: pytest.FixtureRequest) -> None:
    is_shard = row.startswith('Shards')
    if is_shard:
        request.getfixturevalue('process_group')
    if 'SparseTensor' in row and not WITH_TORCH_SPARSE:
        pytest.skip('needs torch-sparse')
    take, source, cell = TAKE[column], ROWS[row](), TABLE[row, column]
    shard = {'distributed': True} if is_shard else {}
    if cell in ('no', 'exclude_keys', 'encode'):
        said = r'got |support|cannot|unexpected keyword|not subscriptable'
        with pytest.raises((TypeError, ValueError), match=said):
            take(source, **shard)
    if cell != 'no':
        out = take(source, **shard, **OPTIONS.get(cell, {}))
        if row in KEPT and out is not None:
            assert KEPT[row] in out
