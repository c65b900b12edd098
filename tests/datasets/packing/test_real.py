"""Real data, packed: identical when read, and many times smaller."""

from collections.abc import Callable

import pytest
import torch
from torch_geometric.utils import coalesce

from pyg_distill.datasets import MirageDataset
from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.measure import graph_costs, tree_set_costs
from pyg_distill.datasets.packing.packed import pack, unpack
from tests.datasets.packing.test_tree_sets import assert_identical


@pytest.mark.parametrize(
    ('name', 'factor'), [('MUTAG', 100), ('IMDB-BINARY', 100)]
)
def test_real_graphs(real_dataset: Callable, name: str, factor: int) -> None:
    source = real_dataset(name)
    data, slices = source._data, source.slices
    packed = pack(data, slices)
    assert packed['edges']['symmetric']
    payload = sum(
        value.numel() * value.element_size()
        for value in data.to_dict().values()
        if isinstance(value, torch.Tensor)
    )
    size = packed_bytes(packed)
    assert size * factor < payload
    # The files list edges in the order of `coalesce`.
    assert coalesce(source[0].edge_index).equal(source[0].edge_index)
    assert_identical(unpack(packed), (data, slices))

    order = torch.randperm(len(source))
    bound = graph_costs(data, slices).cumulative(order)
    assert size <= int(bound[-1]) <= size + 30
    few = packed_bytes(pack(data, slices, order[:20]))
    assert few <= int(bound[19]) <= 1.2 * few


@pytest.mark.parametrize('name', ['MUTAG', 'IMDB-BINARY'])
def test_real_tree_sets(real_dataset: Callable, name: str) -> None:
    dataset = MirageDataset(real_dataset(name), 2, selection='lossless')
    original = dataset._data, dataset.slices
    num_graphs = {
        label: kept.num_graphs for label, kept in dataset.report.classes.items()
    }
    packed = pack(*original, balance='source', num_graphs=num_graphs)
    assert 'weight' not in packed['attributes']
    assert_identical(unpack(packed), original)
    size = packed_bytes(packed)
    assert size * 50 < dataset.report.distilled.num_bytes
    order = torch.randperm(len(dataset))
    about = tree_set_costs(*original).cumulative(order)
    assert int(about[-1]) == pytest.approx(size, rel=0.05)
