"""What a result has for itself is neither overwritten nor dropped."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.datasets import CoresetDataset, MirageDataset, payload
from pyg_distill.loader import TreeSetLoader
from pyg_distill.transforms import ToComputationTrees
from tests.datasets.sources import Graphs, random_graphs, same
from tests.datasets.test_bad_options import message
from tests.datasets.test_sources import Lazy

OWN = {
    'support': torch.tensor([7]),
    'weight': torch.tensor([5.0]),
    'num_layers': torch.tensor([9]),
    'root_count': torch.tensor([3, 4]),
}
SELECTIONS = ['auto', 'graphs', 'multisets', 'patterns', 'lossless']


def graphs(**attributes: Any) -> list[Data]:
    out = random_graphs(24)
    for data in out:
        data.update(attributes)
    return out


@pytest.mark.parametrize('name', OWN)
@pytest.mark.parametrize('wrap', [list, Graphs, Lazy])
def test_taken_names_are_refused(wrap: Callable, name: str) -> None:
    source = wrap(graphs(**{name: OWN[name]}))
    expected = (
        f"'MirageDataset' gives each graph a '{name}' of its own (got graphs "
        f'that have one); rename it, or leave it out with '
        f"exclude_keys=['{name}']"
    )
    for selection in SELECTIONS:
        of_size = selection in ('auto', 'graphs', 'multisets')
        options = {'budget': 90} if of_size else {}
        found = message(ValueError, source, 2, selection=selection, **options)
        assert found == expected


@pytest.mark.parametrize('selection', SELECTIONS)
def test_or_left_out(selection: str) -> None:
    expected = MirageDataset(graphs(), 2, selection=selection)
    assert (expected.support > 0).all()
    text = message(ValueError, graphs(**OWN), 2, selection=selection)
    left_out = ['support', 'weight', 'root_count', 'num_layers']
    assert text.endswith(f'exclude_keys={left_out}')
    found = MirageDataset(
        graphs(**OWN), 2, selection=selection, exclude_keys=left_out
    )
    assert same(found, expected)


def test_what_is_no_tensor_is_not_read() -> None:
    found = MirageDataset(graphs(weight='heavy'), 2, selection='lossless')
    assert same(found, MirageDataset(graphs(), 2, selection='lossless'))


def test_a_coreset_gives_weights_only() -> None:
    with pytest.raises(ValueError, match="a 'weight' of its own") as info:
        CoresetDataset(graphs(**OWN), num_graphs=4)
    assert str(info.value).endswith("exclude_keys=['weight']")
    kept = CoresetDataset(graphs(**OWN), num_graphs=4, exclude_keys=['weight'])
    assert kept.support.tolist() == [7] * 4
    assert kept.weight.tolist() == [1] * 4


def test_weights_of_a_first_choice_are_not_lost_in_a_second() -> None:
    whole = MirageDataset(graphs(), 2, selection='graphs', num_graphs=9)
    assert "['support', 'weight']" in message(ValueError, whole, 2)
    weighted = CoresetDataset(graphs(), num_graphs=9)
    assert "['weight']" in message(ValueError, weighted, 2)


def test_tree_sets_are_read_as_they_are() -> None:
    transform = ToComputationTrees(2)
    whole = CoresetDataset(graphs(), num_graphs=9)
    for trees in (
        MirageDataset(graphs(), 2, selection='lossless'),
        [transform(data) for data in graphs()],
        # Each with the weight that the coreset gave it.
        [transform(data) for data in whole],
    ):
        assert payload(trees).num_graphs == len(trees)
        batches = list(TreeSetLoader(trees, 5))
        assert sum(batch.num_graphs for batch in batches) == len(trees)
        assert 'tree-set form already' in message(ValueError, trees, 2)
    assert batches[0].weight.equal(whole.weight[:5])
