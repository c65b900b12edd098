from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from torch_geometric.data import InMemoryDataset
from torch_geometric.datasets import TUDataset
from torch_geometric.nn import GIN
from torch_geometric.utils import degree

from pyg_distill.datasets import ToyMolecules
from pyg_distill.evaluation import (
    OneHot,
    Recipe,
    evaluate,
    get_recipe,
    list_recipes,
)
from tests.datasets.ogb_files import write_ogb

NAMES = [
    *('MUTAG', 'NCI1', 'PROTEINS', 'DD', 'IMDB-BINARY', 'AIDS'),
    *('ogbg-molbace', 'ogbg-molbbbp', 'ogbg-molhiv'),
]


def test_all_are_there_and_stay_as_they_are() -> None:
    assert list_recipes() == NAMES
    for name in NAMES:
        recipe = get_recipe(name)
        assert recipe.name == name
        assert (recipe.split_by == 'scaffold') == name.startswith('ogbg')
    with pytest.raises(FrozenInstanceError):
        get_recipe('NCI1').lr = 1.0
    with pytest.raises(ValueError, match=r"one of MUTAG, .* 'nci1'"):
        get_recipe('nci1')


def test_stratified_splits() -> None:
    dataset = ToyMolecules(203)
    recipe = Recipe('toy')
    splits = [recipe.split(dataset, seed) for seed in (0, 0, 1)]
    for parts in splits:
        every = torch.cat(parts)
        assert every.sort().values.tolist() == list(range(203))
        count = [dataset._data.y[p].bincount().tolist() for p in parts]
        for of_class in zip(*count, strict=True):
            held_out = round(0.1 * sum(of_class))
            assert of_class[1:] == (held_out, held_out)
    for first, second, other in zip(*splits, strict=True):
        assert torch.equal(first, second)
        assert not torch.equal(first, other)


def test_ogb(tmp_path: Path) -> None:
    molecules = write_ogb(tmp_path / 'OGB' / 'ogbg_molbace')
    recipe = get_recipe('ogbg-molbace')
    dataset = recipe.load(tmp_path)
    assert 'edge_attr' not in dataset[0]
    assert dataset[3].x.tolist() == molecules[3]['x']
    for seed in (0, 1):
        parts = recipe.split(dataset, seed)
        assert [len(p) for p in parts] == [30, 20, 10]
    options = recipe.options(dataset)
    assert isinstance(options['encode'], OneHot)
    train, val, test = (dataset[index] for index in parts)
    result = evaluate(
        train,
        test=test,
        val=val,
        models=[GIN],
        runs=1,
        log=False,
        **(options | {'steps': 2}),
    )
    assert result.options['ogbg-molbace']['lr'] == recipe.lr
    assert result.cells[0] == ('ogbg-molbace', 'GIN', 'sum')


@pytest.mark.parametrize('name', ['MUTAG', 'IMDB-BINARY'])
def test_real_data(real_dataset: Callable[..., TUDataset], name: str) -> None:
    plain = real_dataset(name)
    recipe = get_recipe(name)
    root = Path(plain.root).parent
    dataset = recipe.load(root)
    assert isinstance(dataset, InMemoryDataset)
    assert len(dataset) == len(plain)
    for i in (0, 7, len(plain) - 1):
        data, expected = dataset[i], plain[i]
        assert 'edge_attr' not in data
        assert torch.equal(data.edge_index, expected.edge_index)
        assert data.num_nodes == expected.num_nodes
        if name == 'MUTAG':
            assert torch.equal(data.x, expected.x)
        else:
            target = expected.edge_index[1]
            known = degree(target, expected.num_nodes, torch.long)
            assert data.x.view(-1).tolist() == known.tolist()
    assert ('encode' in recipe.options(dataset)) == (name == 'IMDB-BINARY')
    sizes = [len(part) for part in recipe.split(dataset, 0)]
    assert sum(sizes) == len(plain)
