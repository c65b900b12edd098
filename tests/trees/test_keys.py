"""Keys are equal exactly where unrolled trees are."""

import itertools
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.trees import edge_keys, keys, tree_keys
from pyg_distill.trees.keys import chain, hash_features
from tests.graphs import cycle, graphs, in_tree, permute, random_graph
from tests.oracles import Tree, trees_of

MASK = (1 << 64) - 1
DTYPES = [
    *(torch.bool, torch.uint8, torch.int16, torch.long),
    *(torch.half, torch.float, torch.double, torch.cfloat),
]


def keys_of(data: Data, num_layers: int) -> list[Tensor]:
    edge_key = edge_keys(data.get('edge_attr'), data.get('edge_weight'))
    return tree_keys(
        data.edge_index, data.num_nodes, num_layers, data.get('x'), edge_key
    )


def pairs_of(data: Data, num_layers: int) -> list[tuple[Tree, tuple]]:
    """Every tree of every depth beside its key."""
    out = []
    for depth, key in enumerate(keys_of(data, num_layers)):
        assert key.dtype == torch.long
        assert key.size() == (data.num_nodes, 2)
        rows = map(tuple, key.tolist())
        out += zip(trees_of(data, depth), rows, strict=True)
    return out


def assert_one_to_one(pairs: list[tuple[Tree, tuple]]) -> None:
    # All depths together: a key must not depend on the depth of the search.
    key_of, tree_of = {}, {}
    for tree, key in pairs:
        assert key_of.setdefault(tree, key) == key, 'equal trees'
        assert tree_of.setdefault(key, tree) == tree, 'unequal trees'


def assert_all_distinct(data: Data, root: list[int], num_layers: int) -> None:
    """The keys of some roots are distinct, even in either lane alone."""
    key = keys_of(data, num_layers)[-1][root]
    for lane in key.t():
        assert lane.unique().numel() == len(root)


def hashed(value: Any) -> Tensor:
    return hash_features(value, 'x')


def distinct(value: Tensor) -> int:
    return hashed(value).unique(dim=0).size(0)


def same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(hashed(a), hashed(b))


# Trees


@settings(max_examples=40)
@given(graphs(), graphs(), st.integers(0, 3))
def test_equal_keys_are_equal_trees(
    first: Data, second: Data, num_layers: int
) -> None:
    for key in ('x', 'edge_attr', 'edge_weight'):
        # Trees of both are comparable if both have features of one kind.
        second.pop(key, None)
        if key in first and first[key].size(0) > 0:
            size = second.num_nodes if key == 'x' else second.num_edges
            second[key] = first[key][torch.arange(size) % first[key].size(0)]
    pairs = pairs_of(first, num_layers)
    if {*first.keys()} == {*second.keys()}:
        pairs += pairs_of(second, num_layers)
    assert_one_to_one(pairs)


@settings(max_examples=40)
@given(graphs(), st.integers(0, 3), st.integers(0, 1000))
def test_permutations_change_nothing(
    data: Data, num_layers: int, seed: int
) -> None:
    other, position = permute(data, seed)
    pairs = zip(
        keys_of(data, num_layers), keys_of(other, num_layers), strict=True
    )
    assert all(permuted[position].equal(key) for key, permuted in pairs)


@pytest.mark.parametrize('connected', [False, True])
@pytest.mark.parametrize('block', [1, 7, 1 << 18])
def test_larger_graphs(
    block: int, connected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = random_graph(
        40, 30, edge_dim=2, connected=connected, self_loops=True
    )
    expected = keys_of(data, 3)
    monkeypatch.setattr(keys, '_EDGES', block)
    for key, other in zip(expected, keys_of(data, 3), strict=True):
        assert key.equal(other)
    pairs = pairs_of(data, 3)
    assert_one_to_one(pairs)
    assert len({tree for tree, _ in pairs}) < len(pairs)


def test_two_triangles_look_like_a_hexagon() -> None:
    # Keys must not tell apart what no message-passing network can.
    two = cycle(3)
    two.edge_index = torch.cat([two.edge_index, two.edge_index + 3], dim=1)
    two.num_nodes = 6
    for a, b in zip(keys_of(two, 4), keys_of(cycle(6), 4), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize('dtype', [torch.long, torch.float])
@pytest.mark.parametrize('depth', [1, 2])
def test_all_small_multisets(depth: int, dtype: torch.dtype) -> None:
    # Among them all {a, d} and {b, c} with a + d = b + c, for twelve labels,
    # which at depth 2 are themselves roots with one to twelve children.
    x: list[int] = []
    child: list[list[int]] = []
    label = []
    for i in range(12):
        leaves = range(len(x), len(x) + i + 1) if depth == 2 else range(0)
        x += [0] * len(leaves)
        child += [[] for _ in leaves]
        label.append(len(x))
        child.append(list(leaves))
        x.append(0 if depth == 2 else i)
    root = []
    for size in range(5):
        for multiset in itertools.combinations_with_replacement(label, size):
            root.append(len(x))
            x.append(0)
            child.append(list(multiset))
    data = in_tree(child, x)
    data.x = data.x.to(dtype)
    assert len(root) == 1820
    assert_all_distinct(data, root, depth)


def forest(*trees: tuple) -> tuple[Data, list[int]]:
    """A graph of trees given as (x, child, ...) or (x, (edge, child), ...)."""
    x, source, target, attr = [], [], [], []

    def add(tree: tuple) -> int:
        node = len(x)
        x.append(tree[0])
        for child in tree[1:]:
            edge, child = child if len(child) == 2 else (0, child)
            source.append(add(child))
            target.append(node)
            attr.append(edge)
        return node

    roots = [add(tree) for tree in trees]
    edge_index = torch.tensor([source, target], dtype=torch.long)
    data = Data(
        x=torch.tensor(x), edge_index=edge_index, edge_attr=torch.tensor(attr)
    )
    return data, roots


def leaves(*labels: int) -> list[tuple]:
    return [(0, (label,)) for label in labels]


# Near collisions: the trees of each entry differ, but hold the same nodes or
# edges, or have the same sums.
NEAR = {
    'sum of children': [
        (0, *leaves(1, 4)),
        (0, *leaves(2, 3)),
        (0, *leaves(0, 5)),
    ],
    'root and child swapped': [(1, *leaves(2)), (2, *leaves(1))],
    'a child more': [(0, *leaves(0)), (0, *leaves(0, 0)), (0,)],
    'grandchildren moved': [
        (0, (0, (1, *leaves(3))), (0, (2, *leaves(4)))),
        (0, (0, (1, *leaves(4))), (0, (2, *leaves(3)))),
    ],
    'grandchildren of equal children moved': [
        (0, (0, (1, *leaves(3, 4))), (0, (1, *leaves(5, 6)))),
        (0, (0, (1, *leaves(3, 5))), (0, (1, *leaves(4, 6)))),
        (0, (0, (1, *leaves(3, 4, 5))), (0, (1, *leaves(6)))),
        (0, (0, (1, *leaves(3, 4, 5, 6))), (0, (1,))),
    ],
    'child or grandchild': [
        (0, (0, (1,)), (0, (1, *leaves(1)))),
        (0, (0, (1, *leaves(1, 1)))),
        (0, *leaves(1, 1, 1)),
        (0, (0, (1, (0, (1, *leaves(1)))))),
    ],
    'edges swapped between siblings': [
        (0, (1, (3,)), (2, (4,))),
        (0, (2, (3,)), (1, (4,))),
    ],
    'edge and child swapped': [(0, (1, (2,))), (0, (2, (1,)))],
    'edges moved down': [
        (0, (1, (0, (2, (0,))))),
        (0, (2, (0, (1, (0,))))),
    ],
    'edges swapped between cousins': [
        (0, (0, (1, (5, (9,)))), (0, (2, (6, (9,))))),
        (0, (0, (1, (6, (9,)))), (0, (2, (5, (9,))))),
    ],
}


@pytest.mark.parametrize('name', NEAR)
@pytest.mark.parametrize('offset', [0, -3, 1000])
def test_near_collisions(name: str, offset: int) -> None:
    data, roots = forest(*NEAR[name])
    data.x += offset
    data.edge_attr += offset
    trees = trees_of(data, 3)
    assert len({trees[root] for root in roots}) == len(roots)
    assert_all_distinct(data, roots, 3)


def test_direction_and_parallel_edges_matter() -> None:
    data = in_tree([[1], []], x=[1, 2])
    reverse = data.clone()
    reverse.edge_index = data.edge_index.flip([0])
    key, other = keys_of(data, 1)[1], keys_of(reverse, 1)[1]
    assert torch.cat([key, other]).unique(dim=0).size(0) == 4
    # Children are the sources of incoming edges: node 1 has none.
    assert key[1].equal(keys_of(data, 0)[0][1])
    data = in_tree([[3], [3, 3], [3, 3, 3], []], x=[0, 0, 0, 0])
    assert_all_distinct(data, [0, 1, 2, 3], 1)


def test_features_and_their_absence_differ() -> None:
    zero = torch.zeros(2)
    edge_index = torch.tensor([[0, 1], [1, 0]])
    key = [
        keys_of(Data(edge_index=edge_index, num_nodes=2, **kwargs), 1)[1]
        for kwargs in [
            {},
            {'x': zero},
            {'edge_attr': zero},
            {'edge_weight': zero},
            {'edge_attr': zero, 'edge_weight': zero},
        ]
    ]
    assert torch.cat(key).unique(dim=0).size(0) == 5
    assert edge_keys() is None


@pytest.mark.parametrize('name', ['edge_attr', 'edge_weight'])
def test_types_of_edge_features(name: str) -> None:
    value = torch.tensor([0.0, -0.0, 1.0, float('inf')])
    key = edge_keys(**{name: value})
    assert key.equal(edge_keys(**{name: value.double()}))
    assert key[0].equal(key[1])
    assert not key[:3].equal(edge_keys(**{name: value[:3].long()}))
    with pytest.raises(ValueError, match=f"'{name}' must not hold NaN"):
        edge_keys(**{name: value * 0})


def test_bad_trees_are_refused() -> None:
    with pytest.raises(ValueError, match="'x' must not hold NaN"):
        keys_of(in_tree([[1], []], x=[1.0, float('nan')]), 0)
    with pytest.raises(ValueError, match="'num_layers' must be 0 or more"):
        keys_of(cycle(3), -1)


@pytest.mark.parametrize('num_layers', [0, 2])
def test_no_nodes(num_layers: int) -> None:
    out = tree_keys(torch.empty(2, 0, dtype=torch.long), 0, num_layers)
    assert [list(key.size()) for key in out] == [[0, 2]] * (num_layers + 1)


# Structured collisions

COLUMN = keys._column_constants(4, torch.device('cpu')).view(-1).tolist()
SHIFTS = sorted(
    {0, 1 << 31, 1 << 32, -(1 << 63)}
    | {a - b for a, b in itertools.permutations(COLUMN, 2)}
)


def shifted(row: Tensor) -> Iterator[Tensor]:
    """Rows that hold the words of another one in disguise."""
    for order in itertools.permutations(range(row.numel())):
        moved = row[list(order)]
        # Each two columns shifted against each other, by adding or by flipping
        # bits, as a sum of terms that are alike would not tell.
        for i, j in itertools.permutations(range(row.numel()), 2):
            for shift in SHIFTS:
                yield moved.index_add(
                    0, torch.tensor([i, j]), torch.tensor([1, -1]) * shift
                )
                mask = torch.zeros_like(moved)
                mask[[i, j]] = wrap(shift)
                yield moved ^ mask
        yield from (-moved, ~moved, moved ^ (-(1 << 63)), moved * _odd(moved))
        for constant in COLUMN:
            yield moved ^ constant
            yield moved + constant
        # The words' halves swapped.
        yield (moved << 32) | ((moved >> 32) & 0xFFFFFFFF)
    # Signs of some columns only.
    for signs in itertools.product([1, -1], repeat=row.numel()):
        yield row * torch.tensor(signs)


def wrap(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _odd(row: Tensor) -> int:
    return 2 * int(row[0]) % 1000 + 3


SHIFTS = sorted({wrap(shift) for shift in SHIFTS})


@pytest.fixture(scope='module')
def disguised() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    out = []
    for high in (4, 1 << 62):
        for width in (2, 3):
            row = torch.randint(-high, high, (width,), generator=generator)
            rows = torch.stack([row, *shifted(row)])
            out.append(torch.nn.functional.pad(rows, (0, 3 - width)))
    return torch.cat(out).unique(dim=0)


def in_features(rows: Tensor) -> Tensor:
    return hashed(rows)


def in_sums(rows: Tensor) -> Tensor:
    # Before both lanes are mixed, where a weak one still shows.
    return keys._hash_rows(rows, keys._column_constants(3, rows.device), 'x')


def in_doubles(rows: Tensor) -> Tensor:
    value = rows.view(torch.double)
    value = value[~value.isnan().any(dim=1)]
    return hashed(
        (value + 0.0).view(torch.long).unique(dim=0).view(value.dtype)
    )


def in_edges(rows: Tensor) -> Tensor:
    size = rows.size(0)
    edge_index = torch.stack([torch.full((size,), size), torch.arange(size)])
    return tree_keys(edge_index, size + 1, 1, None, edge_keys(rows))[1][:size]


def in_children(rows: Tensor) -> Tensor:
    # The words of a row are one child each, of a grandparent that is alike.
    words = rows.sort(dim=1).values.unique(dim=0)
    size, width = words.size()
    leaf = torch.arange(words.numel()) + 2 * size
    inner = torch.arange(size)
    source = torch.cat([leaf, inner + size])
    target = torch.cat([(inner + size).repeat_interleave(width), inner])
    x = torch.cat([torch.zeros(2 * size).long(), words.view(-1)])
    return tree_keys(torch.stack([source, target]), x.numel(), 2, x)[2][:size]


@pytest.mark.parametrize(
    'hash_rows',
    [in_features, in_sums, in_doubles, in_edges, in_children],
)
def test_no_structured_collisions(
    hash_rows: Callable, disguised: Tensor
) -> None:
    key = hash_rows(disguised)
    assert key.size(0) > 800
    assert key.unique(dim=0).size(0) == key.size(0)
    # Before lanes are mixed, one alone may swap what the other tells apart.
    for lane in key.t():
        collisions = key.size(0) - lane.unique().numel()
        assert collisions <= (0.01 * key.size(0) if hash_rows is in_sums else 0)


# Features


def scramble(value: int, multipliers: tuple = keys._MIX) -> int:
    for multiplier in multipliers:
        value = (value ^ (value >> 32)) * multiplier & MASK
    return value ^ (value >> 32)


def slow_key(row: list[int], seed: int) -> list[int]:
    """The key of a row of words, in Python's unbounded integers."""
    low = high = 0
    for column, word in enumerate(row):
        first, second = (
            scramble((2 * column + i) * 0x9E3779B97F4A7C15 & MASK)
            for i in (1, 2)
        )
        low += scramble(word ^ first)
        for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            word = (word ^ (word >> 32)) * multiplier & MASK
        high += scramble(word ^ second, (0xD6E8FEB86659FD93,))
    low = scramble(low + scramble(seed) & MASK)
    high = scramble(high + scramble(~seed & MASK) + low & MASK)
    low = low + high * 0xD6E8FEB86659FD93 & MASK
    return [wrap(low), wrap(high)]


def slow_keys(value: Tensor) -> list[list[int]]:
    seed = 1 + value.is_floating_point() + 2 * value.is_complex()
    value = torch.view_as_real(value) if value.is_complex() else value
    value = value.flatten(1)

    def word(number: float) -> int:
        if value.is_floating_point():
            return struct.unpack('<Q', struct.pack('<d', number + 0.0))[0]
        return int(number) & MASK

    seed = (seed << 32) + value.size(1)
    return [slow_key([*map(word, row)], seed) for row in value.tolist()]


@given(
    st.integers(0, 5),
    st.integers(0, 30),
    st.sampled_from([0.0, 0.05, 0.2, 0.3, 0.6, 1.0]),
    st.sampled_from(DTYPES),
    st.integers(0, 1000),
)
def test_against_python(
    num_rows: int, num_columns: int, density: float, dtype: Any, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = (num_rows, num_columns)
    value = 50 * torch.randn(size, generator=generator)
    value *= torch.rand(size, generator=generator) < density
    if dtype == torch.uint8:
        value = value.abs()
    value = (value * 1j if dtype.is_complex else value).to(dtype)
    # Both ways of hashing, at every density.
    for sparse in (0, 4, 10**6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keys, '_SPARSE', sparse)
            assert hashed(value).tolist() == slow_keys(value)


def test_one_hot_rows_of_real_molecules(real_dataset: Callable) -> None:
    x = real_dataset('NCI1').x[:500]
    assert (x != 0).float().mean() < 0.03
    assert hashed(x).tolist() == slow_keys(x)


@pytest.mark.parametrize('density', [0.0, 0.1, 0.9])
def test_blocks(monkeypatch: pytest.MonkeyPatch, density: float) -> None:
    value = torch.randn(40, 3) * (torch.rand(40, 3) < density)
    # Blocks of either kind, one after the other.
    value[20:] = 0.5
    key = hashed(value)
    for name in ('_BLOCK', '_CACHED'):
        for size in (10, 1):
            monkeypatch.setattr(keys, name, size)
            assert hashed(value).equal(key)


@pytest.mark.parametrize('width', [2, 30])
@pytest.mark.parametrize('dtype', [torch.float, torch.half, torch.cfloat])
def test_signed_zeros_infinity_and_nan(dtype: Any, width: int) -> None:
    value = torch.zeros(50, width, dtype=dtype)
    value[3, 1] = 1
    value[4, 0], value[5, 1] = float('inf'), -float('inf')
    # Full rows are hashed in another way.
    full = torch.ones_like(value[:, :1]).repeat(1, 9)
    full[:, 0] = 0
    signed = full.clone()
    signed[:, 0] = -signed[:, 0]
    assert same(full, signed)
    key = hashed(value)
    assert hashed(-value)[0].equal(key[0])
    assert not hashed(-value)[3].equal(key[3])
    assert key.unique(dim=0).size(0) == 4
    value[7, 0] = float('nan')
    with pytest.raises(ValueError, match=r"'x' must not hold NaN.*exclude_key"):
        hashed(value)


def test_types_of_features() -> None:
    integer = torch.tensor([[0, 1], [1, 1]])
    for dtype in [torch.bool, torch.uint8, torch.int8, torch.int32]:
        assert same(integer, integer.to(dtype))
    value = torch.tensor([[0.5, -1.0], [float('inf'), 0.25]])
    for dtype in [torch.half, torch.bfloat16, torch.double]:
        assert same(value, value.to(dtype))
    assert same(value.to(torch.cfloat), value.to(torch.cdouble))
    key = [
        hashed(integer),
        hashed(integer.float()),
        hashed(integer[:, 0].to(torch.cfloat)),
    ]
    assert torch.cat(key).unique(dim=0).size(0) == 6
    assert distinct(torch.tensor([0.0, 1e-45])) == 2
    assert distinct(torch.tensor([0.1, 0.1 + 1e-16], dtype=torch.double)) == 2


@pytest.mark.parametrize('dtype', [torch.uint16, torch.uint32, torch.uint64])
@pytest.mark.parametrize('width', [1, 8])
def test_unsigned_types(dtype: torch.dtype, width: int) -> None:
    value = torch.zeros(20, width, dtype=torch.long)
    value[::7, 0] = torch.arange(1, 4)
    assert same(value.to(dtype), value)


def test_shapes_of_features() -> None:
    value = torch.arange(12)
    assert same(value, value.view(12, 1))
    assert same(value.view(2, 3, 2), value.view(2, 6))
    # More columns, even of zeros, are other features.
    key = [hashed(torch.zeros(1, d)) for d in range(6)]
    assert torch.cat(key).unique(dim=0).size(0) == 6
    for size in [(0,), (0, 3), (0, 0)]:
        assert hashed(torch.empty(size)).size() == (0, 2)
    value = torch.randn(7, 5, dtype=torch.double)
    assert same(value, value.t().contiguous().t())
    assert same(value[:, ::2], value[:, ::2].contiguous())
    assert same(value[:1].expand(4, 5), value[:1].repeat(4, 1))


@pytest.mark.parametrize('width', [1, 2, 1433])
def test_one_column_never_collides(width: int) -> None:
    for column in {0, width // 2, width - 1}:
        value = torch.ones(300, width)
        value[:, column] = torch.arange(300)
        for lane in hashed(value).t():
            assert lane.unique().numel() == 300


def test_features_are_left_as_they_are() -> None:
    value = torch.tensor([[-0.0, 1.0]], dtype=torch.double)
    hashed(value)
    assert value[0, 0].signbit()
    word = torch.tensor([[1, 2]])
    hashed(word)
    chain(1, word, word)
    assert word.tolist() == [[1, 2]]


@pytest.mark.parametrize('value', [torch.eye(3).to_sparse(), [1.0, 2.0], 'red'])
def test_what_is_no_dense_tensor_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"'x' must be a dense.*exclude_keys"):
        hashed(value)
    with pytest.raises(ValueError, match=r"'x' must have one row"):
        hashed(torch.tensor(1.0))


def test_chain() -> None:
    small = torch.cartesian_prod(torch.arange(40), torch.arange(40))
    other = torch.full_like(small, 50)
    sequences = [
        chain(1, small),
        chain(2, small),
        chain(1, small, other),
        chain(1, other, small),
        chain(1, small, small.flip([1]) + 99),
    ]
    for lane in torch.cat(sequences).t():
        assert lane.unique().numel() == lane.numel()
    # One-to-one in each key, by one lane of it.
    for position, lane in itertools.product(range(3), range(2)):
        parts = [torch.full((2000, 2), i) for i in range(3)]
        parts[position][:, lane] = torch.arange(2000)
        assert chain(1, *parts).unique(dim=0).size(0) == 2000


def test_keys_are_the_same_in_every_process_and_version() -> None:
    edge_index = torch.tensor([[0, 1, 2, 2, 3], [1, 0, 0, 0, 2]])
    x = torch.tensor([[0.5, -1.0], [2.0, 0.0], [0.5, -0.0], [1e9, 7.0]])
    edge_key = edge_keys(torch.tensor([1, 2, 3, 3, 0]))
    # A change of one of these numbers changes the identity of stored trees.
    assert tree_keys(edge_index, 4, 2, x, edge_key)[2].tolist() == [
        [-1092200887434499811, -3841044867816258685],
        [2813998153083732080, -3984836618873820997],
        [6603551824212079860, -1577527386364606432],
        [5984427606290350676, -982179045640909544],
    ]
    assert tree_keys(edge_index, 4, 1)[1].tolist() == [
        [-7293989500381878684, -6871510064815912245],
        [5323868769589648854, 8057190033066453638],
        [5323868769589648854, 8057190033066453638],
        [-5755149320997316127, -4758381366587594284],
    ]
