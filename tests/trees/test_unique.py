import pytest
import torch

from pyg_distill.trees.unique import lexsort, unique_keys


def classes(inverse):
    out = {}
    for i, c in enumerate(inverse.tolist()):
        out.setdefault(c, []).append(i)
    return sorted(out.values())


def expected(*columns):
    out = {}
    for i, row in enumerate(zip(*columns, strict=True)):
        out.setdefault(row, []).append(i)
    return out


@pytest.mark.parametrize('num_columns', [1, 2, 3])
def test_lexsort(num_columns):
    columns = [torch.randint(-3, 3, (200,)) for _ in range(num_columns)]
    rows = list(zip(*(c.tolist() for c in columns), strict=True))
    assert lexsort(*columns).tolist() == sorted(
        range(200), key=rows.__getitem__
    )


def test_lexsort_compares_as_signed():
    order = lexsort(torch.tensor([2**63 - 1, -(2**63), 0, -1]))
    assert order.tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize('grouped', [False, True])
@pytest.mark.parametrize('first_lane', [1, 3, 50])
def test_unique_keys(grouped, first_lane):
    # With few values in the first lane, it collides where the second does not.
    key = torch.stack(
        [torch.randint(first_lane, (120,)), torch.randint(4, (120,))], dim=1
    )
    group = torch.randint(3, (120,)) if grouped else None
    columns = key.t().tolist()
    if grouped:
        columns = [group.tolist(), *columns]
    out = unique_keys(key, group)
    want = expected(*columns)

    assert classes(out.inverse) == sorted(want.values())
    # Classes are sorted, and each is represented by its first element.
    assert out.first.tolist() == [want[row][0] for row in sorted(want)]
    assert out.count.tolist() == [len(want[row]) for row in sorted(want)]


def test_collision_between_equal_keys():
    key = torch.tensor([[7, 1], [7, 2], [7, 1], [7, 2], [3, 1]])
    out = unique_keys(key)
    assert out.inverse.tolist() == [1, 2, 1, 2, 0]
    assert out.first.tolist() == [4, 0, 1]
    assert out.count.tolist() == [1, 2, 2]


def test_groups_are_kept_apart():
    key = torch.tensor([[5, 5], [5, 5], [1, 1]])
    out = unique_keys(key, torch.tensor([1, 0, 1]))
    assert out.inverse.tolist() == [2, 0, 1]
    assert out.count.tolist() == [1, 1, 1]


@pytest.mark.parametrize('grouped', [False, True])
def test_no_keys(grouped):
    key = torch.empty(0, 2, dtype=torch.long)
    out = unique_keys(key, key[:, 0] if grouped else None)
    assert out.inverse.tolist() == out.first.tolist() == out.count.tolist()
    assert out.count.tolist() == []


def test_one_key():
    out = unique_keys(torch.tensor([[1, 2]]))
    assert out.inverse.tolist() == [0]
    assert out.first.tolist() == [0]
    assert out.count.tolist() == [1]
