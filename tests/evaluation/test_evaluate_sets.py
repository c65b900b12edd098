import gc
import weakref

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GIN

from pyg_distill.datasets import ToyMolecules
from pyg_distill.evaluation import Evaluation, evaluate
from pyg_distill.evaluation.cross.sets import RunSets

TOY = ToyMolecules(120)


def call(train_sets, **kwargs) -> Evaluation:
    options = {
        'test': TOY[90:],
        'val': TOY[60:90],
        'models': [GIN],
        'readouts': ['sum'],
        'runs': 1,
        'steps': 4,
        'hidden_channels': 8,
        'log': False,
    }
    return evaluate(train_sets, **(options | kwargs))


def losses(result: Evaluation, name: str) -> list[tuple[float, float]]:
    return [(r.auc, r.val_loss) for r in result.records if r.train_set == name]


def of_class(c: int):
    return TOY[torch.tensor([int(data.y) == c for data in TOY])]


@pytest.mark.parametrize('name', ['test', 'val', 'train'])
def test_a_name_does_not_change_what_is_trained_on(name: str) -> None:
    result = call({'other': TOY[:20], name: TOY[:20]}, runs=2)
    assert losses(result, name) == losses(result, 'other')
    # Neither are they held to what graphs that are tested must be.
    call({name: of_class(1)})
    narrow = [data.clone() for data in TOY[:20]]
    for data in narrow:
        data.x = data.x[:, :3]
    message = f"got 3 in '{name}', 9 in 'val', 9 in 'test'"
    with pytest.raises(ValueError, match=message):
        call({name: narrow})


def test_draws_are_the_same_for_all_training_sets_of_a_run() -> None:
    asked = []

    def draw(run: int):
        asked.append(run)
        return TOY[60:][torch.randperm(60)[:30]]

    result = call(
        {'one': TOY[:20], 'other': TOY[:20]}, runs=[4, 2], test=draw, val=draw
    )
    assert asked == [4, 4, 2, 2]
    assert losses(result, 'one') == losses(result, 'other')


def test_a_list_may_be_filled_with_other_graphs() -> None:
    graphs: list[Data] = []

    def fill(run: int) -> list[Data]:
        graphs[:] = TOY[20 * run : 20 * run + 20]
        return graphs

    result = call(fill, runs=[0, 2])
    alone = call(TOY[40:60], runs=[2])
    assert losses(result, 'train')[1:] == losses(alone, 'train')


def test_data_sets_of_other_runs_are_let_go() -> None:
    made = []

    def make(run: int):
        out = TOY[run : run + 5]
        made.append(weakref.ref(out))
        return out

    sets = RunSets(make, 'train', [0, 1, 2], lambda dataset, owner: owner)
    assert sets(1)[0] is sets(1)[0]
    sets(2)
    gc.collect()
    assert [ref() is None for ref in made] == [True, False]
