import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GIN

from pyg_distill.datasets import ToyMolecules
from pyg_distill.evaluation import evaluate

TOY = ToyMolecules(60)
HETERO = [data.to_heterogeneous() for data in TOY[:2]]


def changed(**values) -> list[Data]:
    graphs = [data.clone() for data in TOY[:20]]
    for data in graphs:
        for name, value in values.items():
            data[name] = value(data) if callable(value) else value
    return graphs


def of_class(c: int) -> list[Data]:
    return [data for data in TOY if int(data.y) == c]


class TwoLess(torch.nn.Module):
    def __init__(self, *channels) -> None:
        super().__init__()
        self.lin = torch.nn.Linear(channels[0], channels[1] - 2)

    def forward(self, x, edge_index):
        return self.lin(x)


def train(**kwargs) -> dict:
    return {'train_sets': changed(**kwargs)}


@pytest.mark.parametrize(
    ('kwargs', 'error', 'message'),
    [
        ({'steps': 0}, ValueError, "'steps' must be a whole number above 0"),
        ({'batch_size': 2.5}, ValueError, "'batch_size'"),
        ({'eval_every': True}, ValueError, "'eval_every'"),
        ({'num_layers': 0}, ValueError, "'num_layers'"),
        ({'runs': 0}, ValueError, "'runs' must be a whole number"),
        ({'readouts': ['median']}, ValueError, 'median'),
        ({'models': []}, ValueError, "'models' must hold models with"),
        ({'models': [GIN, GIN]}, ValueError, 'different names'),
        ({'models': [lambda i, h, n: GIN(i, h, n)]}, ValueError, 'dictionary'),
        ({'models': [TwoLess]}, ValueError, "'TwoLess' must return node emb"),
        ({'models': [3]}, TypeError, "'models' must hold classes or functions"),
        ({'models': [GIN(9, 4, 2)]}, TypeError, "got 'GIN'"),
        ({'train_sets': {'a': TOY[:0]}}, ValueError, "'a' .* at least one"),
        ({'train_sets': {'a': TOY[0]}}, TypeError, "'a' expects a data set"),
        ({'train_sets': HETERO}, TypeError, "'HeteroData'"),
        ({'train_sets': [Batch.from_data_list(TOY[:2])]}, ValueError, 'batch'),
        ({'test': 3}, TypeError, "'test' expects a data set"),
        ({'val': lambda run: TOY[0]}, TypeError, "'val' expects a data set"),
        ({'val': of_class(1)}, ValueError, "'val'.*two classes or more"),
        ({'test': of_class(0)}, ValueError, "'test'.*two classes or more"),
        (train(y=None), ValueError, "'train'.*'y'"),
        (train(edge_index=None), ValueError, "'train'.*'edge_index'"),
        (
            train(y=torch.tensor([float('nan')])),
            ValueError,
            'regression|unlabelled',
        ),
        (train(y=torch.tensor([0.5])), ValueError, 'regression'),
        (train(y=torch.zeros(1, 3)), ValueError, 'multi-label'),
        (train(y=torch.tensor([-1])), ValueError, 'unlabelled graphs'),
        (train(x=lambda d: d.x.long()), ValueError, 'float features.*int64'),
        (train(x=lambda d: d.x * float('nan')), ValueError, 'finite features'),
        (train(edge_weight=torch.ones(1)), ValueError, "'edge_weight' must"),
        (
            {'train_sets': [*TOY[:5], *changed(weight=torch.ones(1))]},
            ValueError,
            'graph 5 differs from graph 0 in .*weight',
        ),
        ({'lr': 1e30}, ValueError, "training of 'GIN' on 'train' diverged"),
    ],
)
def test_bad_arguments(kwargs: dict, error: type, message: str) -> None:
    options = {
        'train_sets': TOY[:20],
        'test': TOY[20:40],
        'val': TOY[40:],
        'models': [GIN],
        'readouts': ['sum'],
        'runs': 1,
        'steps': 1,
        'hidden_channels': 4,
        'log': False,
    }
    with pytest.raises(error, match=message) as found:
        evaluate(**(options | kwargs))
    assert '\n' not in str(found.value)
