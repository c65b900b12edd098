"""Reads trees and graphs back from a figure, and makes up results."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pyg_distill.evaluation import Evaluation, Record, SetRecord


def key(point: Any) -> tuple[float, float]:
    return round(float(point[0]), 6), round(float(point[1]), 6)


def texts(ax: Any, gid: str) -> dict[tuple[float, float], str]:
    """The texts of a kind by their positions."""
    found = [text for text in ax.texts if text.get_gid() == gid]
    return {key(text.get_position()): text.get_text() for text in found}


def rings(ax: Any) -> list[tuple[float, float]]:
    return [key(p.center) for p in ax.patches if p.get_gid() == 'ring']


def nodes(ax: Any) -> dict[tuple[float, float], str]:
    """The label of each node by its position."""
    places = [key(p.center) for p in ax.patches if p.get_gid() == 'node']
    assert set(texts(ax, 'label')) == set(places)
    return {place: texts(ax, 'label')[place] for place in places}


def edges(ax: Any) -> Counter:
    """How often each edge exists, as the numbers on the lines say."""
    lines = [text for text in ax.texts if text.get_gid() == 'edge']
    out = Counter({(key(line.xyann), key(line.xy)): 1 for line in lines})
    assert len(out) == len(lines)
    thick = [t for t in lines if t.arrow_patch.get_linewidth() > 1.5]
    for place, number in texts(ax, 'multiplicity').items():
        ends = [(key(line.xyann), key(line.xy)) for line in thick]
        distance = {pair: far(place, *map(np.array, pair)) for pair in ends}
        nearest = min(distance, key=distance.__getitem__)
        assert distance[nearest] < 1e-5
        out[nearest] = int(number[1:])
    assert sum(number > 1 for number in out.values()) == len(thick)
    return out


def far(point: Any, first: np.ndarray, second: np.ndarray) -> float:
    """The distance of a point from the line between two others."""
    way = second - first
    share = np.clip((point - first) @ way / (way @ way), 0, 1)
    return float(np.linalg.norm(first + share * way - point))


def unrolled(ax: Any) -> Counter:
    """The trees below the rings, as labels and children, with their counts."""
    label = nodes(ax)
    below: dict = {place: [] for place in label}
    for (child, parent), number in edges(ax).items():
        assert child[1] < parent[1]
        below[parent] += [child] * number

    def tree(place: tuple[float, float]) -> tuple:
        return label[place], tuple(sorted(map(tree, below[place])))

    count = {x: int(t[1:]) for (x, _), t in texts(ax, 'count').items()}
    out: Counter = Counter()
    for ring in rings(ax):
        out[tree(ring)] += count.get(ring[0], 1)
    return out


def labels_only(tree: tuple) -> tuple:
    """A tree of the oracles, its one-hot features turned into labels."""
    features, children = tree
    text = str(features.index(1.0)) if features else ''
    return text, tuple(sorted(labels_only(child) for _, child in children))


def check_apart(ax: Any, distance: float = 0.99) -> None:
    """Checks that no circles touch, whose radius is 0.36."""
    place = np.array(list(nodes(ax)))
    between = np.linalg.norm(place[:, None] - place, axis=-1)
    between[np.diag_indices(len(place))] = np.inf
    assert between.min() > distance


def result(
    task: str, num_bytes: int, sets: Any, runs: Any = range(3), seed: int = 0
) -> Evaluation:
    """Made up results, in which every number is another one."""
    draw = np.random.default_rng([seed, num_bytes])
    records, sizes = [], []
    for name in sets:
        for run in runs:
            for model in ('GIN', 'GCN'):
                accuracy, auc = draw.random(2)
                numbers = accuracy, auc, 0.0, 0.0, 1, 1.0
                records.append(Record(task, name, model, 'sum', run, *numbers))
            size = int(draw.integers(num_bytes, 2 * num_bytes))
            sizes.append(SetRecord(task, name, run, 1, 1, 1, 10 * size, size))
    return Evaluation(records, sizes, {})
