"""Every row of the page of errors has the key words of an error."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import Linear, Module
from torch.utils.data import Subset
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCN, GIN, MLP, SAGPooling, global_add_pool

from pyg_distill.datasets import MirageDataset
from pyg_distill.evaluation import check_exact
from pyg_distill.loader import TreeSetLoader
from pyg_distill.nn import (
    ABKDLoss,
    Distiller,
    KDLoss,
    LayerRecorder,
    RootReadout,
)
from pyg_distill.selection import FrequentTrees, Selector
from tests.graphs import random_graph

PAGE = Path(__file__).parents[1] / 'docs' / 'errors.rst'
# Three dots stand for what an example fills in.
ROWS = [
    re.escape(cell).replace(r'\.\.\.', '.*')
    for cell in re.findall('^``([^`]+)``  ', PAGE.read_text(), re.MULTILINE)
]
INPUTS = torch.randn(9, 4), torch.randint(9, (2, 30))


def graphs(**kwargs: Any) -> list[Data]:
    out = [random_graph(seed=i) for i in range(6)]
    for i, data in enumerate(out):
        data.y = torch.tensor([i % 2])
        data.update(kwargs)
    return out


def distil(source: Any = None, num_layers: int = 2, **kwargs: Any) -> Any:
    source = graphs() if source is None else source
    return MirageDataset(source, num_layers, **kwargs)


def distiller(**kwargs: Any) -> Distiller:
    student, teacher = GCN(4, 8, 2, 3), GCN(4, 16, 3, 3)
    return Distiller.from_example(student, teacher, INPUTS, **kwargs).train()


class Forgetful(Selector):
    def __init__(self, size: int) -> None:
        pass


class Pooled(Module):
    def __init__(self, num_layers: int = 2, pool: Any = None) -> None:
        super().__init__()
        self.gnn, self.pool = GIN(2, 8, num_layers), pool
        self.head = Linear(8, 2)

    def forward(self, x: Any, edge_index: Any, batch: Any = None) -> Any:
        x = self.gnn(x, edge_index)
        if self.pool is not None:
            x, _, _, batch, *_ = self.pool(x, edge_index, batch=batch)
        return self.head(global_add_pool(x, batch))


class InPlace(Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = GIN(4, 8, 1)

    def forward(self, x: Any, edge_index: Any) -> Any:
        return self.conv(x, edge_index).relu_()


def lost_nodes() -> None:
    (data,) = graphs()[:1]
    data.x = data.x[:4]
    distil([data])


def frequent(source: Any = None, **kwargs: Any) -> None:
    distil(source, selection='frequent', selection_kwargs=kwargs)


def nothing_in_common() -> None:
    source = graphs()
    for i, data in enumerate(source):
        if i % 2:
            data.x = torch.full((12, 2), float(i))
    frequent(source, min_support={0: 1, 1: 3})


def changed_edges() -> None:
    def transform(data: Data) -> Data:
        data.edge_index = data.edge_index.flip(0)
        return data

    distil(selection='lossless', transform=transform)[0]


def on_roots(model: Module) -> None:
    data = next(iter(DataLoader(distil(selection='lossless'), 4)))
    RootReadout(model, encoder='gnn')(data)


def twice() -> None:
    model = distiller()
    model(*INPUTS)
    model(*INPUTS)


def other_inputs() -> None:
    model = distiller(cache=True)
    model(INPUTS[0] + 1, INPUTS[1])
    model.loss()


def changed_in_place() -> None:
    model = InPlace()
    recorder = LayerRecorder(model, 'conv')
    model(*INPUTS)
    recorder.features()


def outputs_changed_in_place() -> None:
    model = distiller()
    out = model(*INPUTS)
    out.relu_()
    model.loss()


PROVOKE: dict[str, Callable[[], Any]] = {
    'other attributes': lambda: frequent(graphs(pos=torch.rand(12, 3))),
    'NaN': lambda: distil(graphs(x=torch.full((12, 2), torch.nan))),
    'hetero': lambda: distil([HeteroData(atom={'x': INPUTS[0]})]),
    'lost nodes': lost_nodes,
    'no labels': lambda: distil(graphs(y=None)),
    'several labels': lambda: distil(graphs(y=torch.ones(1, 3))),
    'regression': lambda: distil(graphs(y=torch.tensor([0.5]))),
    'an iterator': lambda: distil(iter(graphs())),
    'an empty split': lambda: distil(Subset(graphs(), [])),
    'too small': lambda: distil(budget=3),
    'two sizes': lambda: distil(
        budget=0.1, selection=FrequentTrees(min_support=0.1)
    ),
    'no frequent set': nothing_in_common,
    'too many sets': lambda: frequent(min_support=1, kind='all', max_sets=3),
    'misspelt': lambda: distil(selection='herd'),
    'not stored': lambda: distil(selection=Forgetful(3)),
    'changed edges': changed_edges,
    'too shallow': lambda: on_roots(Pooled(num_layers=3)),
    'messages after the encoder': lambda: on_roots(Pooled(pool=SAGPooling(8))),
    'no roots read': lambda: check_exact(Pooled(), graphs(), 2),
    'merged batch': lambda: (
        next(iter(TreeSetLoader(graphs(), 4, num_layers=2))).batch
    ),
    'twice': twice,
    'before a call': lambda: distiller().loss(),
    'other inputs': other_inputs,
    'other classes': lambda: Distiller.from_example(
        GCN(4, 8, 2, 3), GCN(4, 16, 2, 5), INPUTS
    ),
    'seed nodes': lambda: ABKDLoss([4], [4])(
        [torch.randn(6, 4)], [torch.randn(4, 4)]
    ),
    'no loss': lambda: distiller(losses=torch.nn.MSELoss()),
    'no layers': lambda: LayerRecorder(MLP([4, 8, 2])),
    'changed in place': changed_in_place,
    'outputs changed in place': outputs_changed_in_place,
    'not recorded': lambda: LayerRecorder(GCN(4, 8, 2)).features(),
    'compiled': lambda: LayerRecorder(torch.compile(GCN(4, 8, 2))),
    'wrapped': lambda: Distiller(
        torch.nn.DataParallel(GCN(4, 8, 2)), GCN(4, 8, 3), KDLoss()
    ),
}


def provoke(call: Callable[[], Any]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        try:
            call()
        except Exception as error:
            return ' '.join(str(error).split())
    raise AssertionError('nothing was raised')


def rows_of(name: str) -> list[str]:
    message = provoke(PROVOKE[name])
    return [row for row in ROWS if re.search(row, message)]


@pytest.mark.parametrize('name', PROVOKE)
def test_message_has_the_key_words_of_one_row(name: str) -> None:
    assert len(rows_of(name)) == 1


@pytest.mark.slow
def test_every_row_is_provoked() -> None:
    assert sorted(row for name in PROVOKE for row in rows_of(name)) == sorted(
        ROWS
    )
