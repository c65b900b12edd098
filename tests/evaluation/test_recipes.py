"""The recipes of the benchmarks still load, split and train."""

import os
from pathlib import Path

import pytest
from torch_geometric.nn import GIN

from pyg_distill.evaluation import evaluate

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'


@pytest.mark.parametrize('name', ['MUTAG', 'IMDB-BINARY', 'ogbg-molbace'])
def test_a_recipe_trains(monkeypatch, name: str) -> None:
    root = Path(os.environ.get('PYG_DISTILL_DATA', 'nowhere'))
    is_ogb = name.startswith('ogbg')
    folder = f'OGB/{name.replace("-", "_")}' if is_ogb else f'TUDataset/{name}'
    if not (root / folder / 'raw').is_dir():
        pytest.skip(f'needs the raw files of {name} in PYG_DISTILL_DATA')
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    recipes = pytest.importorskip('recipes')
    recipe = recipes.get_recipe(name)
    dataset = recipe.load(root)
    split = recipe.split(dataset, seed=0)
    assert sum(map(len, split)) == len(dataset)
    train, val, test = (dataset[index] for index in split)
    options = recipe.options(dataset) | {'steps': 2, 'runs': 1, 'log': False}
    result = evaluate(train, test=test, val=val, models=[GIN], **options)
    assert result.records[0].cell == (name, 'GIN', 'sum')
