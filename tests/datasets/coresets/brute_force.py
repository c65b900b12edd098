"""The definitions of coresets, with loops over all points."""

from fractions import Fraction

Point = tuple[int, ...]


def _distance(first: list[Fraction], second: list[Fraction]) -> Fraction:
    pairs = zip(first, second, strict=True)
    return sum(((a - b) ** 2 for a, b in pairs), Fraction())


def _mean(points: list[Point]) -> list[Fraction]:
    columns = zip(*points, strict=True)
    return [Fraction(sum(column), len(points)) for column in columns]


def herd(points: list[Point]) -> list[int]:
    """Tries every point in every step."""
    mean = _mean(points)
    order: list[int] = []
    while len(order) < len(points):
        rest = [i for i in range(len(points)) if i not in order]
        order.append(
            min(
                rest,
                key=lambda i: _distance(
                    mean, _mean([points[j] for j in [*order, i]])
                ),
            )
        )
    return order


def farthest_first(points: list[Point]) -> list[int]:
    """Measures the distance of every point to every picked one."""
    mean = _mean(points)
    order = [min(range(len(points)), key=lambda i: _distance(mean, points[i]))]
    while len(order) < len(points):
        rest = [i for i in range(len(points)) if i not in order]
        order.append(
            max(
                rest,
                key=lambda i: min(
                    _distance(points[i], points[j]) for j in order
                ),
            )
        )
    return order
