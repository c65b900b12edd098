import pytest
import torch

from pyg_distill.trees import unique_keys


@pytest.mark.parametrize('grouped', [False, True])
@pytest.mark.parametrize('num_values', [1, 3, 50])
def test_unique_keys(grouped: bool, num_values: int) -> None:
    # With few values in the first lane, it collides where the second does not.
    key = torch.stack(
        [torch.randint(num_values, (120,)) - 1, torch.randint(4, (120,))], dim=1
    )
    group = torch.randint(3, (120,)) if grouped else None
    columns = key.t().tolist()
    if group is not None:
        columns = [group.tolist(), *columns]
    positions: dict[tuple, list[int]] = {}
    for i, row in enumerate(zip(*columns, strict=True)):
        positions.setdefault(row, []).append(i)

    # Classes are sorted, and each is represented by its first element.
    out = unique_keys(key, group)
    rows = sorted(positions)
    assert out.first.tolist() == [positions[row][0] for row in rows]
    assert out.count.tolist() == [len(positions[row]) for row in rows]
    for i, row in enumerate(rows):
        assert (out.inverse == i).nonzero().view(-1).tolist() == positions[row]


def test_by_hand() -> None:
    key = torch.tensor([[7, 1], [7, 2], [7, 1], [7, 2], [3, 1], [-1, 9]])
    out = unique_keys(key)
    assert out.inverse.tolist() == [2, 3, 2, 3, 1, 0]
    assert out.first.tolist() == [5, 4, 0, 1]
    assert out.count.tolist() == [1, 1, 2, 2]
    extremes = torch.tensor([2**63 - 1, -(2**63), 0, -1])
    out = unique_keys(torch.stack([extremes, extremes], dim=1))
    assert out.first.tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize('grouped', [False, True])
@pytest.mark.parametrize('size', [0, 1])
def test_few_keys(grouped: bool, size: int) -> None:
    key = torch.ones(size, 2, dtype=torch.long)
    out = unique_keys(key, key[:, 0] if grouped else None)
    assert out.inverse.tolist() == out.first.tolist() == [0] * size
    assert out.count.tolist() == [1] * size
