"""Reads trees and graphs back from what was drawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np


def key(point: Any) -> tuple[float, float]:
    return round(float(point[0]), 6), round(float(point[1]), 6)


def texts(ax: Any) -> dict[tuple[float, float], str]:
    return {key(t.get_position()): t.get_text() for t in ax.texts}


def circles(ax: Any, gid: str) -> list[tuple[float, float]]:
    return [key(p.center) for p in ax.patches if p.get_gid() == gid]


def nodes(ax: Any) -> dict[tuple[float, float], str]:
    """The label of each node by its position."""
    written = texts(ax)
    return {place: written.get(place, '') for place in circles(ax, 'node')}


def edges(ax: Any) -> Counter:
    """How often there is a line between two positions, as numbers tell."""
    numbers = [
        (np.array(t.get_position()), int(t.get_text()[1:]))
        for t in ax.texts
        if t.get_text().startswith('\u00d7') and t.get_gid() != 'count'
    ]
    lines = [line for line in ax.lines if line.get_gid() == 'edge']
    ends = [np.array(line.get_xydata()) for line in lines]
    out = Counter({(key(a), key(b)): 1 for a, b in ends})
    for place, number in numbers:
        (first, second) = min(ends, key=lambda end: far(place, *end))
        assert far(place, first, second) < 1e-6
        out[key(first), key(second)] = number
    assert len(out) == len(lines)
    return out


def far(point: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """The distance of a point from a line between two others."""
    way = second - first
    share = float(np.clip((point - first) @ way / (way @ way), 0, 1))
    return float(np.linalg.norm(first + share * way - point))


def unrolled(ax: Any) -> Counter:
    """The trees below the rings, as labels and children, with their counts."""
    label = nodes(ax)
    below: dict = {place: [] for place in label}
    for (child, parent), number in edges(ax).items():
        assert child[1] < parent[1]
        below[parent] += [child] * number

    def tree(place: tuple[float, float]) -> tuple:
        return label[place], tuple(sorted(tree(c) for c in below[place]))

    count = {
        round(t.get_position()[0], 6): int(t.get_text()[1:])
        for t in ax.texts
        if t.get_gid() == 'count'
    }
    out: Counter = Counter()
    for ring in circles(ax, 'ring'):
        out[tree(ring)] += count.get(ring[0], 1)
    return out


def labels_only(tree: tuple) -> tuple:
    """A tree of the oracles, its one-hot features turned into labels."""
    features, children = tree
    text = str(features.index(1.0)) if features else ''
    return text, tuple(sorted(labels_only(child) for _, child in children))


def check_apart(ax: Any, distance: float = 0.99) -> None:
    """Circles have a radius of 0.36."""
    place = np.array(list(nodes(ax)))
    between = np.linalg.norm(place[:, None] - place, axis=-1)
    between[np.diag_indices(len(place))] = np.inf
    assert between.min() > distance
