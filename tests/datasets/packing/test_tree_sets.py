"""Tree sets come back bit by bit, and their trees by definition."""

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.nn import GIN

from pyg_distill.datasets import MirageDataset
from pyg_distill.datasets.materialising import split
from pyg_distill.datasets.packing.column import packed_bytes
from pyg_distill.datasets.packing.packed import pack, unpack
from pyg_distill.datasets.packing.tree_sets import (
    pack_tree_sets,
    unpack_tree_sets,
)
from pyg_distill.nn import global_root_pool
from pyg_distill.transforms import ToComputationTrees
from tests.datasets.packing.test_rows import raw
from tests.datasets.sources import path, random_graphs
from tests.graphs import graphs, permute
from tests.oracles import tree_set

collate = InMemoryDataset.collate


def assert_identical(
    restored: tuple[Data, dict | None], original: tuple[Data, dict | None]
) -> None:
    (out, slices), (data, expected) = restored, original
    assert set(out.to_dict()) == set(data.to_dict())
    assert (slices is None) == (expected is None)
    for key, value in out.to_dict().items():
        other = data.to_dict()[key]
        if isinstance(value, torch.Tensor):
            value, other = raw(value), raw(other)
        assert value == other, key
    for key in expected or {}:
        assert slices[key].equal(expected[key])


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    num_layers=st.integers(0, 3),
    compact=st.booleans(),
    edges=st.booleans(),
    featureless=st.booleans(),
)
def test_lossless_sets_are_identical(
    seed: int, num_layers: int, compact: bool, edges: bool, featureless: bool
) -> None:
    many = random_graphs(
        8,
        (0, 2),
        num_features=None if featureless else 3,
        edge_attr=edges,
        edge_weight=edges and seed % 2 == 0,
        seed=seed,
    )
    for i, data in enumerate(many):
        data.target = torch.tensor([[i, 0.1]])
    dataset = MirageDataset(
        many, num_layers, selection='lossless', compact=compact
    )
    original = dataset._data, dataset.slices
    packed = pack(*original)
    assert packed['form'] == 'tree sets'
    restored = unpack(packed)
    assert_identical(restored, original)
    for out, data in zip(split(restored), dataset, strict=True):
        assert tree_set(out, num_layers) == tree_set(data, num_layers)


@pytest.mark.parametrize('compact', [False, True])
@pytest.mark.parametrize('root_count', ['mean', 'one'])
@pytest.mark.parametrize('balance', ['source', 'uniform', 'none'])
def test_patterns_are_identical_and_weights_are_computed(
    compact: bool, root_count: str, balance: str
) -> None:
    many = random_graphs(40, max_nodes=4)
    dataset = MirageDataset(
        many, 2, 2, compact=compact, root_count=root_count, balance=balance
    )
    assert dataset.weight.unique().numel() > 1
    num_graphs = {
        label: kept.num_graphs for label, kept in dataset.report.classes.items()
    }
    original = dataset._data, dataset.slices
    packed = pack(*original, balance=balance, num_graphs=num_graphs)
    assert 'weight' not in packed['attributes']
    assert_identical(unpack(packed), original)
    stored = pack(*original)
    assert 'weight' in stored['attributes']
    assert packed_bytes(packed) < packed_bytes(stored)
    assert_identical(unpack(stored), original)

    # What does not follow from the rule is stored.
    dataset._data.weight = dataset._data.weight + 1
    packed = pack(*original, balance=balance, num_graphs=num_graphs)
    assert 'weight' in packed['attributes']
    assert_identical(unpack(packed), original)


@settings(max_examples=20)
@given(graphs(), st.integers(0, 3), st.booleans())
def test_any_trees_are_restored(
    data: Data, num_layers: int, compact: bool
) -> None:
    transform = ToComputationTrees(num_layers, compact=compact)
    many = [transform(data), transform(permute(data)[0])]
    restored = split(unpack_tree_sets(pack_tree_sets(*collate(many))))
    for out, original in zip(restored, many, strict=True):
        assert tree_set(out, num_layers) == tree_set(original, num_layers)
        assert out.num_nodes == original.num_nodes
    one = unpack_tree_sets(pack_tree_sets(many[0], None))
    assert one[1] is None
    assert tree_set(one[0], num_layers) == tree_set(many[0], num_layers)


def test_a_network_reads_the_same() -> None:
    many = random_graphs(20, max_nodes=9, edge_attr=False)
    dataset = MirageDataset(many, 3, selection='lossless')
    order = torch.randperm(20)
    gin = GIN(3, 16, 3).eval()

    def read(graphs: list[Data]) -> torch.Tensor:
        batch = Batch.from_data_list(graphs)
        return global_root_pool(
            gin(batch.x, batch.edge_index),
            batch.batch,
            batch.get('root_index'),
            batch.get('root_count'),
            size=len(graphs),
        )

    restored = split(unpack(pack(dataset._data, dataset.slices, order)))
    with torch.no_grad():
        expected = read([many[i] for i in order])
        assert torch.allclose(read(restored), expected, atol=1e-5)


def test_the_order_of_nodes_and_roots_does_not_matter() -> None:
    many = random_graphs(10, max_nodes=6, edge_attr=True)
    transform = ToComputationTrees(2)
    sets = [transform(data) for data in many]
    mixed = []
    for i, data in enumerate(sets):
        other, position = permute(data, seed=i)
        turn = torch.randperm(data.root_index.numel())
        other.root_index = position[data.root_index][turn]
        other.root_count = data.root_count[turn]
        mixed.append(other)
    # Names that the permutation lost are in the same order again.
    mixed = [
        Data(**{k: m[k] for k in s.to_dict()})
        for m, s in zip(mixed, sets, strict=True)
    ]
    first, second = pack(*collate(sets)), pack(*collate(mixed))
    assert packed_bytes(first) == packed_bytes(second)
    assert_identical(unpack(second), unpack(first))
    assert_identical(unpack(first), collate(sets)[:2])


def test_equal_trees_of_all_graphs_are_stored_once() -> None:
    many = [path(*[i % 3 for i in range(9)]) for _ in range(2)]
    size = [
        packed_bytes(pack(*collate([ToComputationTrees(2)(d) for d in part])))
        for part in (many[:1], many, many * 50)
    ]
    assert size[1] <= size[0] + 6
    assert size[2] <= size[1] + 100 * 7


def test_files_are_read_with_weights_only() -> None:
    dataset = MirageDataset(random_graphs(9), 2, selection='lossless')
    original = dataset._data, dataset.slices
    file = io.BytesIO()
    torch.save(pack(*original, balance='source', num_graphs={0: 5, 1: 4}), file)
    file.seek(0)
    assert_identical(unpack(torch.load(file, weights_only=True)), original)


def test_what_are_no_tree_sets_is_refused_in_one_line() -> None:
    many = random_graphs(5, max_nodes=6)
    with pytest.raises(ValueError, match="'data' must be in tree-set form"):
        pack_tree_sets(*collate(many))
    with pytest.raises(ValueError, match="'packed' must be what pack"):
        unpack({'form': 'pictures'})
    with pytest.raises(ValueError, match="'packed' must be what pack"):
        unpack(many[0])

    line = ToComputationTrees(2)(path(0, 1, 2, 3))
    other = line.clone()
    other.num_layers = torch.tensor([3])
    with pytest.raises(ValueError, match="'num_layers' must be the same"):
        pack(*collate([line, other]))
    for depth in (0, 1):
        other.num_layers = torch.tensor([depth])
        with pytest.raises(ValueError, match="leads deeper than 'num_layers'"):
            pack(other, None)
    loop = line.clone()
    loop.edge_index = torch.cat(
        [loop.edge_index, loop.edge_index.flip(0)], dim=1
    )
    with pytest.raises(ValueError, match="leads deeper than 'num_layers'"):
        pack(loop, None)
    spare = line.clone()
    spare.x = torch.cat([spare.x, spare.x[:1]])
    with pytest.raises(ValueError, match='got 1 nodes that are in no tree'):
        pack(spare, None)
    # Of two equal leaves, one has two parents.
    some = Data(
        x=torch.tensor([[0.0], [1.0], [2.0], [9.0], [9.0]]),
        edge_index=torch.tensor([[3, 3, 4], [0, 1, 2]]),
        root_index=torch.arange(3),
        root_count=torch.ones(3).long(),
        num_layers=torch.tensor([1]),
    )
    with pytest.raises(ValueError, match='must share all equal subtrees'):
        pack(some, None)
