"""What cannot be picked is refused in one clear line."""

import pytest
import torch

from pyg_distill.datasets import CoresetDataset
from tests.datasets.sources import path, random_graphs


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({'method': 'best'}, ValueError, "'method' must be one of 'random'"),
        ({}, ValueError, "either 'budget' or 'num_graphs' must be given"),
        (
            {'budget': 9, 'num_graphs': 3},
            ValueError,
            r'must be given \(got budget=9, num_graphs=3\)',
        ),
        ({'method': 'full', 'budget': 0.5}, ValueError, 'keeps all graphs'),
        ({'budget': 0}, ValueError, 'an int. of 1 or more, or a share'),
        ({'budget': 0.0}, ValueError, r'in \(0, 1\] \(got 0.0\)'),
        ({'budget': 1.5}, ValueError, r'float\) in \(0, 1\] \(got 1.5\)'),
        ({'budget': float('nan')}, ValueError, r'in \(0, 1\] \(got nan\)'),
        ({'budget': True}, TypeError, r'an int is bytes, 0.02 is 2%'),
        ({'budget': '2%'}, TypeError, r"\(got '2%'\)"),
        ({'num_graphs': 2.0}, TypeError, "'num_graphs' must be an integer"),
        ({'num_graphs': 0}, ValueError, "'num_graphs' must be 1 or more"),
        ({'num_graphs': 1}, ValueError, r'at least 2, one a class \(got 1\)'),
        ({'num_graphs': 9}, ValueError, r'at most 8, .* \(got 9\)'),
        ({'num_graphs': 2, 'seed': 0.5}, TypeError, "'seed' must be an int"),
        ({'num_graphs': 2, 'depths': 2}, ValueError, "'depths' must be one"),
        ({'num_graphs': 2, 'normalize': 1}, ValueError, "'normalize' must"),
        ({'num_graphs': 2, 'balance': 0}, ValueError, "'balance' must be one"),
        ({'num_graphs': 2, 'num_layers': -1}, ValueError, "'num_layers' must"),
        ({'num_graphs': 2, 'exclude_keys': 'x'}, TypeError, 'list of names'),
        (
            {'num_graphs': 2, 'embedding': torch.ones(8, 2)},
            ValueError,
            r"only \(got method='random'\)",
        ),
        (
            {'method': 'herding', 'num_graphs': 2, 'embedding': 'model'},
            TypeError,
            r"'embedding' must be 'trees', a tensor .* \(got 'model'\)",
        ),
        (
            {
                'method': 'herding',
                'num_graphs': 2,
                'embedding': torch.ones(7, 2),
            },
            ValueError,
            r'one row a graph \(got 7 rows for 8 graphs\)',
        ),
        (
            {
                'method': 'k_center',
                'num_graphs': 2,
                'embedding': lambda graphs: None,
            },
            TypeError,
            r'\(got NoneType\)',
        ),
        (
            {
                'method': 'k_center',
                'num_graphs': 2,
                'embedding': torch.full((8, 1), float('nan')),
            },
            ValueError,
            "'embedding' must be finite",
        ),
    ],
)
def test_bad_options(
    options: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        CoresetDataset(random_graphs(8), **options)


def test_bad_sources() -> None:
    with pytest.raises(TypeError, match='expects the source first'):
        CoresetDataset('data', num_graphs=2)
    with pytest.raises(ValueError, match='at least one graph'):
        CoresetDataset([], num_graphs=2)
    with pytest.raises(TypeError, match="'CoresetDataset' expects a data set"):
        CoresetDataset(path(1, 2), num_graphs=2)
    weighted = [path(1, 2, weight=torch.ones(1)) for _ in range(3)]
    with pytest.raises(ValueError, match=r"exclude_keys=\['weight'\]"):
        CoresetDataset(weighted, num_graphs=2)
    found = CoresetDataset(weighted, num_graphs=2, exclude_keys=['weight'])
    assert found.weight.tolist() == [1, 1]


def test_trees_that_no_graphs_share() -> None:
    source = random_graphs(8)
    for data in source:
        data.x = torch.rand(data.num_nodes, 3)
    for depths in ('all', 'last'):
        with pytest.raises(ValueError, match='since x holds continuous'):
            CoresetDataset(source, 'herding', num_graphs=4, depths=depths)
    assert len(CoresetDataset(source, num_graphs=4)) == 4
    given = torch.rand(8, 2)
    CoresetDataset(source, 'herding', num_graphs=4, embedding=given)
    # Few trees may be distinct by chance, and rounded values are shared.
    for data in source:
        data.x = data.x.round()
    assert len(CoresetDataset(source, 'herding', num_graphs=4)) == 4
