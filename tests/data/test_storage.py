"""Stored graphs and tree sets come back bit by bit, in few bytes."""

import zlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.data import (
    GraphTable,
    Source,
    TreeSets,
    compressed_size,
    read_table,
    storage,
)
from pyg_distill.data.storage import Encoded, decode, encode, source_size
from pyg_distill.data.tree_sets import concatenate_sets, lossless
from pyg_distill.datasets import MirageDataset
from pyg_distill.trees import Forest
from tests.data.collections import (
    GRAPHS,
    Lazy,
    assert_graphs,
    raw,
)
from tests.graphs import graphs, random_graph
from tests.oracles import tree_set, trees_of
from tests.selection.helpers import Graphs, path, random_graphs

TYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.uint16,
    torch.int32,
    torch.long,
    torch.uint64,
    torch.half,
    torch.bfloat16,
    torch.float,
    torch.double,
    torch.cfloat,
    torch.cdouble,
]
SPECIAL = [0.0, -0.0, float('nan'), float('inf'), 1e-40, 2.0**60, -3.5]


def storable(kind: str) -> list[Data]:
    out = GRAPHS[kind]()
    for data in out:
        # Nested tensors and dictionaries are refused.
        for key in ('pair', 'table'):
            data[key] = None
    return out


def with_rows(value: Tensor) -> list[Data]:
    """Graphs with one row of some attributes each."""
    none = torch.empty(2, 0, dtype=torch.long)
    return [
        Data(x=value[i : i + 1], edge_index=none, mark=value[: i % 3])
        for i in range(len(value))
    ] or [Data(x=value, edge_index=none, mark=value)]


@pytest.mark.filterwarnings('ignore:Unable to accurately infer')
@pytest.mark.parametrize('block', [1, 4, 4096])
@pytest.mark.parametrize('kind', GRAPHS)
def test_graphs_are_restored(
    kind: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, 'BLOCK', block)
    originals = storable(kind)
    for table, expected in [
        (read_table(Graphs(originals)), originals),
        (
            read_table(originals).take(torch.tensor([5, 1, 1])),
            [originals[i] for i in (5, 1, 1)],
        ),
    ]:
        encoded = encode(table)
        assert len(encoded.schema['blocks']) == -(-len(expected) // block)
        assert sum(encoded.schema['blocks']) == encoded.num_bytes
        kind = type(originals[0])
        name = encoded.schema['class']
        assert name == f'{kind.__module__}.{kind.__name__}'
        restored = decode(encoded, kind)
        assert isinstance(restored, GraphTable)
        assert_graphs(restored.to_list(), expected)
        assert restored.num_nodes.equal(table.num_nodes)
        dataset = InMemoryDataset()
        dataset.data, dataset.slices = restored.collate()
        assert_graphs(list(dataset), expected)


@pytest.mark.parametrize('dtype', TYPES, ids=str)
@pytest.mark.parametrize(
    'size', [(6,), (6, 3), (0, 2), (6, 0), (0, 0), (6, 2, 2), (300, 2)]
)
def test_all_types_and_shapes(dtype: torch.dtype, size: tuple) -> None:
    originals = with_rows(torch.randint(3, size).to(dtype))
    restored = decode(encode(read_table(originals)))
    assert_graphs(restored.to_list(), originals)


@settings(max_examples=30)
@given(
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=9),
    st.sampled_from([torch.long, torch.double, torch.float, torch.half]),
    st.booleans(),
)
def test_any_bits_are_restored(
    values: list[int], dtype: torch.dtype, wide: bool
) -> None:
    # All bit patterns, so payloads of NaN and negative zeros, too.
    value = torch.tensor(values).view(dtype)
    value = torch.cat([value, value[:1]])
    value = value.view(-1, 1).repeat(1, 3) if wide else value
    originals = with_rows(value)
    assert_graphs(decode(encode(read_table(originals))).to_list(), originals)


@pytest.mark.parametrize('dtype', [torch.float, torch.double, torch.cfloat])
def test_special_floats(dtype: torch.dtype) -> None:
    value = torch.tensor([SPECIAL] * 30, dtype=dtype)
    for rows in (value, value[:, ::2], value.t(), value[0]):
        originals = with_rows(rows)
        restored = decode(encode(read_table(originals))).to_list()
        assert_graphs(restored, originals)


def test_attributes_may_have_any_name() -> None:
    names = ('num_edges', 'source', 'target', 'edge_dtype', 'has_num_nodes')
    originals = random_graphs(4)
    for i, data in enumerate(originals):
        for name in names[1:]:
            data[name] = torch.rand(i, 2)
            data[f'{name} sizes'] = torch.rand(1)
            data[f'{name} numbers'] = f'{i}'
        # Edges keep their type and order.
        data.edge_index = data.edge_index.flip(1).int()
    assert_graphs(decode(encode(read_table(originals))).to_list(), originals)


@pytest.mark.parametrize(
    'value',
    [
        ('a', 1),
        {1: 'a'},
        [torch.ones(2)],
        object(),
        b'a',
        torch.ones(2).numpy(),
        torch.eye(2).to_sparse(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_restored_is_refused(value: Any) -> None:
    originals = random_graphs(3)
    for data in originals:
        data.odd = value
    with pytest.raises(TypeError, match=r"exclude_keys=\['odd'\]") as info:
        compressed_size(originals)
    assert '\n' not in str(info.value)
    assert compressed_size(originals, ['odd']) == compressed_size(
        random_graphs(3)
    )
    with pytest.raises(TypeError, match=r"pass \['odd'\]"):
        compressed_size(originals, 'odd')


def test_bytes_that_do_not_fit_are_noticed() -> None:
    encoded = encode(read_table(random_graphs(4)))
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    payload = deflate.compress(b'too short') + deflate.flush()
    schema = {**encoded.schema, 'blocks': [len(payload)]}
    with pytest.raises(ValueError, match='do not fit'):
        decode(Encoded(schema, payload))


def forest_of(data_list: list[Data], num_layers: int) -> TreeSets:
    table = read_table(data_list)
    return lossless(table, Forest(table.graphs, num_layers), True)


def assert_tree_sets(found: Any, expected: TreeSets) -> None:
    assert isinstance(found, TreeSets)
    depth = expected.forest.num_layers
    assert found.forest.num_layers == depth
    assert found.compact == expected.compact
    pairs = zip(
        found.to_table().to_list(), expected.to_table().to_list(), strict=True
    )
    for out, data in pairs:
        assert {*out.to_dict()} == {*data.to_dict()}
        assert tree_set(out, depth) == tree_set(data, depth)
        assert out.num_nodes == data.num_nodes
        for key in {*data.to_dict()} - {'num_nodes', 'edge_index'}:
            assert out[key].dtype == data[key].dtype
            if key not in ('x', 'edge_attr', 'edge_weight', 'root_index'):
                assert raw(out[key]) == raw(data[key])


@settings(max_examples=12)
@given(graphs(), st.integers(0, 3), st.integers(1, 4))
def test_tree_sets_are_restored(data: Data, depth: int, copies: int) -> None:
    originals = []
    for i in range(copies):
        data = data.clone()
        data.edge_index = data.edge_index.flip(0) if i % 2 else data.edge_index
        data.y = torch.tensor([i])
        data.mark = torch.tensor([SPECIAL]).half()
        data.rest = torch.arange(20.0 + i)
        originals.append(data)
    sets = forest_of(originals, depth)
    encoded = encode(sets)
    restored = decode(encoded)
    assert_tree_sets(restored, sets)
    # The same again, to the byte.
    assert encode(restored).payload == encoded.payload
    for tree, original in zip(
        sets.to_table().to_list(), originals, strict=True
    ):
        expected: dict = {}
        for t in trees_of(original, depth):
            expected[t] = expected.get(t, 0) + 1
        assert tree_set(tree, depth) == expected


def test_parts_of_tree_sets() -> None:
    originals = [random_graph(edge_dim=1, seed=s) for s in range(6)]
    for i, data in enumerate(originals):
        data.y = torch.tensor([i])
        data.rest = torch.arange(i + 20)
    sets = forest_of(originals, 2)
    joined = concatenate_sets(
        [forest_of(originals[:2], 2), forest_of(originals[2:], 2)]
    )
    assert_tree_sets(joined, sets)
    assert encode(joined).num_bytes == encode(sets).num_bytes
    index = [4, 0, 4]
    some = sets.take(torch.tensor(index))
    assert_tree_sets(some, forest_of([originals[i] for i in index], 2))
    shrunk = some.shrink()
    assert_tree_sets(shrunk, some)
    assert shrunk.forest.graphs.num_nodes < sets.forest.graphs.num_nodes


def num_bytes(tensors: list[Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors)


def test_repeated_rows_and_trees_take_little() -> None:
    x = torch.eye(37)[torch.arange(3700) % 37]
    none = torch.empty(2, 0, dtype=torch.long)
    many = [Data(x=x, edge_index=none, y=torch.tensor([0]))]
    # About a byte a row, of 148.
    assert compressed_size(many) < 3700
    constant = [Data(x=torch.ones(9000, 8), edge_index=none)]
    assert compressed_size(constant) < 300
    noise = torch.rand(5000)
    size = compressed_size([Data(x=noise, edge_index=none)])
    assert 10_000 < size < 21_000

    originals = [path(*[i % 3 for i in range(9)]) for _ in range(100)]
    sizes = [encode(forest_of(originals[:n], 2)).num_bytes for n in (1, 100)]
    assert sizes[1] < 2 * sizes[0]


def test_real_graphs_and_tree_sets(real_dataset: Callable) -> None:
    source = real_dataset('MUTAG')
    table = read_table(source)
    encoded = encode(table)
    assert encoded.num_bytes * 40 < table.num_bytes
    assert_graphs(decode(encoded).to_list(), list(source))
    sets = forest_of(source, 2)
    encoded = encode(sets)
    assert_tree_sets(decode(encoded), sets)
    assert encoded.num_bytes * 20 < sets.to_table().num_bytes


@pytest.mark.parametrize('block', [5, 4096])
def test_the_size_of_a_source_does_not_depend_on_chunks(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, 'BLOCK', block)
    many = random_graphs(12, edge_attr=True)
    sizes = set()
    for max_graphs in (3, 1000):
        monkeypatch.setattr('pyg_distill.data.sources.MAX_GRAPHS', max_graphs)
        sizes |= {
            source_size(Source(source, 1))
            for source in (many, Graphs(many), Lazy(many), [many[:4], many[4:]])
        }
    assert sizes == {compressed_size(many)}
    expected = [
        encode(read_table(many[i : i + block])).num_bytes
        for i in range(0, 12, block)
    ]
    assert sizes == {sum(expected)}


def test_transforms_count() -> None:
    many = random_graphs(9)

    def without(data: Data) -> Data:
        data.x = data.x[:, :0]
        return data

    expected = compressed_size([without(data.clone()) for data in many])
    assert compressed_size(Graphs(many, without)) == expected


@pytest.mark.parametrize('selection', ['lossless', 'frequent', 'random'])
def test_a_distilled_set_has_the_size_of_its_report(selection: str) -> None:
    many = random_graphs(20, edge_attr=True)
    for data in many:
        data.mark = torch.rand(1, 2)
    options = {'num_graphs': 5} if selection == 'random' else {}
    found = MirageDataset(many, 2, selection=selection, log=False, **options)
    for items in (found, list(found)):
        assert compressed_size(items) == found.report.compressed_bytes
    sets = forest_of(many, 1)
    assert compressed_size(sets.to_table().to_list()) == encode(sets).num_bytes
