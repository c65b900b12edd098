"""The supports on real data, against another library's."""

from collections.abc import Callable

import pytest

from pyg_distill.datasets import MirageDataset
from pyg_distill.transforms import ToComputationTrees
from tests.oracles import tree_set


@pytest.mark.parametrize(
    ('name', 'num_graphs', 'min_support'),
    [('MUTAG', 188, 0.2), ('NCI1', 300, 0.2)],
)
def test_supports_are_those_of_fpgrowth(
    real_dataset: Callable, name: str, num_graphs: int, min_support: float
) -> None:
    pd = pytest.importorskip('pandas')
    mlxtend = pytest.importorskip('mlxtend.frequent_patterns')
    source = real_dataset(name)[:num_graphs]
    dataset = MirageDataset(source, 2, min_support, patterns='all')

    to_trees = ToComputationTrees(2)
    held: dict[int, list] = {}
    for data in source:
        trees = frozenset(tree_set(to_trees(data), 2))
        held.setdefault(int(data.y), []).append(trees)

    found = {
        (int(data.y), frozenset(tree_set(data, 2))): int(data.support)
        for data in dataset
    }
    expected = {}
    for label, graphs in held.items():
        trees = sorted(frozenset().union(*graphs))
        table = pd.DataFrame([[t in graph for t in trees] for graph in graphs])
        sets = mlxtend.fpgrowth(table, min_support - 1e-9)
        for share, items in zip(sets.support, sets.itemsets, strict=True):
            key = label, frozenset(trees[i] for i in items)
            expected[key] = round(share * len(graphs))
    assert found == expected
    assert len(found) == len(dataset) > 10
