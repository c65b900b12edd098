import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GIN

from pyg_distill.datasets import ToyMolecules
from pyg_distill.evaluation import evaluate

TOY = ToyMolecules(60)


def call(**kwargs):
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
    return evaluate(**(options | kwargs))


def changed(**values) -> list[Data]:
    graphs = [data.clone() for data in TOY[:20]]
    for data in graphs:
        for name, value in values.items():
            data[name] = value(data) if callable(value) else value
    return graphs


def of_class(c: int):
    return TOY[torch.tensor([int(data.y) == c for data in TOY])]


class TwoLess(torch.nn.Module):
    def __init__(self, *channels) -> None:
        super().__init__()
        self.lin = torch.nn.Linear(channels[0], channels[1] - 2)

    def forward(self, x, edge_index):
        return self.lin(x)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'steps': 0}, "'steps' must be a whole number above 0"),
        ({'batch_size': 2.5}, "'batch_size' must be a whole number"),
        ({'eval_every': True}, "'eval_every' must be a whole number"),
        ({'lr': float('nan')}, "'lr' must be a finite number above 0"),
        ({'weight_decay': -1}, "'weight_decay' must be a finite number of 0"),
        ({'runs': 0}, "'runs' must be the number of runs"),
        ({'runs': [1, 1]}, "'runs' must be the number of runs or a list"),
        ({'readouts': ['median']}, "'readouts' must be different ones of sum"),
        ({'models': []}, "'models' must hold models with names of their own"),
        ({'models': [GIN, GIN]}, "'models' must hold models with names"),
        ({'models': [lambda i, h, n: GIN(i, h, n)]}, 'pass a dictionary'),
        ({'models': [TwoLess]}, "'TwoLess' must return node embeddings of"),
        ({'train_sets': {}}, "'train_sets' must hold at least one data set"),
        ({'train_sets': {'a': TOY[:0]}}, "'a' must hold at least one graph"),
        ({'train_sets': [TOY, TOY]}, "'train' must hold one data set a run"),
        ({'val': of_class(1)}, "'val' must hold graphs of two classes"),
        ({'test': of_class(0)}, "'test' must hold graphs of two classes"),
        ({'val': changed(y=torch.tensor([float('nan')]))}, 'missing label'),
        ({'train_sets': changed(y=torch.zeros(1, 3))}, 'multi-label'),
        ({'train_sets': changed(y=torch.tensor([-1]))}, 'unlabelled graphs'),
        (
            {'train_sets': changed(x=lambda d: d.x.long())},
            r"'train' must hold float features 'x' \(got torch.int64",
        ),
        (
            {'train_sets': changed(x=lambda d: d.x[:, :3])},
            r"'x' must be of one width in all data sets \(got 3 in 'train', 9",
        ),
        (
            {'train_sets': changed(weight=torch.ones(2))},
            "'train' must hold 'weight' with one row a graph",
        ),
        (
            {'train_sets': changed(root_index=torch.tensor([0]))},
            "'train' must hold 'root_count' with 'root_index'",
        ),
        (
            {'train_sets': changed(x=lambda d: d.x * float('nan'))},
            "'train' must hold finite features 'x'",
        ),
        ({'lr': 1e30}, "training of 'GIN' on 'train' diverged"),
    ],
)
def test_values(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        call(**kwargs)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'train_sets': {'a': TOY[0]}}, "'a' must be a data set, a list"),
        ({'test': 3}, "'test' must be a data set, a list of them or a fun"),
        ({'models': [3]}, "'models' must hold classes or functions"),
        ({'models': [GIN(9, 4, 2)]}, 'that is built already'),
        ({'val': lambda run: TOY[0]}, "'val' must be a data set or a list"),
    ],
)
def test_types(kwargs: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message) as error:
        call(**kwargs)
    assert '\n' not in str(error.value)
