"""The losses in plain Python: one number at a time, in nested lists."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Matrix = list[list[float]]


def product(x: Matrix, weight: Matrix) -> Matrix:
    out = []
    for row in x:
        new = []
        for c in range(len(weight[0])):
            new.append(sum(row[k] * weight[k][c] for k in range(len(weight))))
        out.append(new)
    return out


def mean_row(rows: Matrix) -> list[float]:
    return [
        math.fsum(row[c] for row in rows) / len(rows)
        for c in range(len(rows[0]))
    ]


def groups_of(num_nodes: int, num_groups: int) -> list[int]:
    """The documented partition: nodes in scrambled order, dealt in turn."""
    keys = []
    for node in range(num_nodes):
        key = (node * 0x9E3779B1) % 2**32
        key = ((key ^ (key >> 15)) * 0x85EBCA6B) % 2**32
        keys.append((key ^ (key >> 13), node))
    out = [0] * num_nodes
    for turn, (_, node) in enumerate(sorted(keys)):
        out[node] = turn % num_groups
    return out


def pool(
    x: Matrix,
    granularity: str,
    num_groups: int,
    batch: list[int] | None,
    size: int | None = None,
) -> Matrix:
    if granularity == 'node':
        return x
    if granularity == 'pooled':
        return [mean_row(x)]
    if granularity == 'group':
        size = min(num_groups, len(x))
        batch = groups_of(len(x), size)
    assert batch is not None
    out = []
    for graph in range(max(batch) + 1 if size is None else size):
        members = [x[v] for v in range(len(x)) if batch[v] == graph]
        if members:
            out.append(mean_row(members))
    return out


def nu(rows: Matrix, center: bool, normalize: bool) -> Matrix:
    mean = mean_row(rows)
    if center:
        rows = [
            [value - m for value, m in zip(row, mean, strict=True)]
            for row in rows
        ]
    if not normalize:
        return rows
    squares = [math.fsum(value**2 for value in row) for row in rows]
    # Rows next to nothing are not scaled to length 1.
    floor = 1e-6 * math.fsum(squares) / len(squares)
    if center:
        floor += 1e-8 * sum(m * m for m in mean)
    out = []
    for row, square in zip(rows, squares, strict=True):
        length = math.sqrt(square + floor)
        out.append([value / length if length > 1e-12 else 0.0 for value in row])
    return out


def distance(a: Matrix, b: Matrix) -> float:
    assert len(a) == len(b)
    total = 0.0
    for x, y in zip(a, b, strict=True):
        for left, right in zip(x, y, strict=True):
            total += (left - right) ** 2
    return total / len(a)


def softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    return [power / sum(powers) for power in powers]


def fixed(kind: str, num_teacher: int, num_student: int) -> Matrix:
    out = []
    for i in range(num_teacher):
        row = []
        for j in range(num_student):
            if kind == 'uniform':
                row.append(1 / num_student)
            elif kind == 'last':
                last = i == num_teacher - 1 and j == num_student - 1
                row.append(1.0 if last else 0.0)
            else:
                assert kind == 'diagonal'
                start = max(i / num_teacher, j / num_student)
                end = min((i + 1) / num_teacher, (j + 1) / num_student)
                row.append(max(0.0, end - start) * num_teacher)
        out.append(row)
    return out


def maps_of(
    weights: Matrix, kind: str | Matrix, t_widths: list[int]
) -> dict[int, list[int]]:
    """The student layers that are mapped to each width of the teacher."""
    out: dict[int, list[int]] = {}
    for i, width in enumerate(t_widths):
        for j, weight in enumerate(weights[i]):
            if kind == 'learned' or weight > 0:
                out.setdefault(width, []).append(j)
        out.setdefault(width, [])
    return {width: sorted(set(js)) for width, js in out.items()}


def attention(
    matching: Any,
    teacher: list[Matrix],
    student: list[Matrix],
    kind: str | Matrix,
    hidden_channels: int,
) -> Matrix:
    if isinstance(kind, list):
        return kind
    if kind != 'learned':
        return fixed(kind, len(teacher), len(student))
    query = [
        product([mean_row(x)], matching.learned.query.weights[i].tolist())
        for i, x in enumerate(teacher)
    ]
    key = [
        product([mean_row(x)], matching.learned.key.weights[j].tolist())
        for j, x in enumerate(student)
    ]
    scores = [
        [
            sum(a * b for a, b in zip(q[0], k[0], strict=True))
            / math.sqrt(hidden_channels)
            for k in key
        ]
        for q in query
    ]
    return [softmax(row) for row in scores]


def pairs(
    matching: Any,
    teacher: list[Tensor],
    student: list[Tensor],
    batch: Tensor | None = None,
    size: int | None = None,
    *,
    attention_kind: str | Matrix = 'uniform',
    granularity: str = 'node',
    projection: str | None = 'student',
    normalize: bool = True,
    center: bool = True,
    subspace: bool = False,
    hidden_channels: int = 64,
    num_groups: int = 512,
    structure: tuple[float, float] | None = None,
    nodes: list[int] | None = None,
    drawn: list[int] | None = None,
) -> tuple[Matrix, Matrix]:
    """The attention and the distance of all pairs of one node type."""
    t_layers = [x.double().tolist() for x in teacher]
    s_layers = [x.double().tolist() for x in student]
    t_widths = [len(x[0]) for x in t_layers]
    weights = attention(
        matching,
        t_layers,
        s_layers,
        attention_kind,
        hidden_channels,
    )
    graph = None if batch is None else batch.tolist()
    t_rows = [pool(x, granularity, num_groups, graph, size) for x in t_layers]
    s_rows = [pool(x, granularity, num_groups, graph, size) for x in s_layers]
    out = []
    for i, t in enumerate(t_rows):
        row = []
        for j, s in enumerate(s_rows):
            a, b = t, s
            if projection == 'student':
                mapped = maps_of(weights, attention_kind, t_widths)
                if j not in mapped[t_widths[i]]:
                    assert weights[i][j] == 0
                    row.append(0.0)
                    continue
                # One stack of maps for each width that is attended to.
                place = [w for w in sorted(mapped) if mapped[w]].index(
                    t_widths[i]
                )
                maps = matching.student_projections[place]
                chosen = mapped[t_widths[i]]
                b = product(b, maps.weights[chosen.index(j)].tolist())
            elif projection == 'both':
                maps = matching.teacher_projection
                a = product(a, maps.weights[i].tolist())
                maps = matching.student_projections[0]
                b = product(b, maps.weights[j].tolist())
            if subspace:
                common = matching.subspace.weights[0].tolist()
                a, b = product(a, common), product(b, common)
            if drawn is not None:
                # Ahead of centring, except where a teacher was prepared.
                b = [b[v] for v in drawn]
                if projection == 'both':
                    a = [a[v] for v in drawn]
            a, b = nu(a, center, normalize), nu(b, center, normalize)
            if drawn is not None and projection != 'both':
                a = [a[v] for v in drawn]
            value = distance(a, b)
            if structure is not None:
                value += structure[0] * contrast(
                    product(t, matching.teacher_structure.weights[i].tolist()),
                    product(s, matching.student_structure.weights[j].tolist()),
                    structure[1],
                    nodes,
                )
            row.append(value)
        out.append(row)
    return weights, out


def contrast(
    g: Matrix, f: Matrix, temperature: float, nodes: list[int] | None
) -> float:
    """How badly a student row tells its own teacher row from the others."""
    if nodes is not None:
        g, f = [g[v] for v in nodes], [f[v] for v in nodes]
    g, f = nu(g, False, True), nu(f, False, True)
    total = 0.0
    for v in range(len(f)):
        powers = []
        for u in range(len(g)):
            dot = sum(a * b for a, b in zip(g[u], f[v], strict=True))
            powers.append(math.exp(dot / temperature))
        total -= math.log(powers[v] / math.fsum(powers))
    return total / len(f)


def combine(weights: Matrix, distances: Matrix) -> float:
    total, mass = 0.0, 0.0
    for i in range(len(weights)):
        for j in range(len(weights[0])):
            total += weights[i][j] * distances[i][j]
            mass += weights[i][j]
    return total / mass


def abkd(
    loss: Any,
    teacher: list[Tensor],
    student: list[Tensor],
    batch: Tensor | None = None,
    size: int | None = None,
    **options: Any,
) -> float:
    weights, distances = pairs(
        loss.matchings[0], teacher, student, batch, size, **options
    )
    return combine(weights, distances)


def slope(
    value: Callable[[Any, list[Tensor]], float],
    loss: torch.nn.Module,
    student: list[Tensor],
    direction: tuple[list[Tensor], list[Tensor]],
    step: float = 1e-5,
) -> float:
    """The derivative of a value along a direction, by two evaluations."""
    ends = []
    for sign in (1, -1):
        moved = copy.deepcopy(loss)
        with torch.no_grad():
            for p, d in zip(moved.parameters(), direction[0], strict=True):
                p += sign * step * d
            x = [
                x + sign * step * d
                for x, d in zip(student, direction[1], strict=True)
            ]
        ends.append(value(moved, x))
    return (ends[0] - ends[1]) / (2 * step)


def kd(
    teacher: Tensor, student: Tensor, temperature: float, multi_label: bool
) -> float:
    total = 0.0
    for t_row, s_row in zip(teacher.tolist(), student.tolist(), strict=True):
        t_row = [value / temperature for value in t_row]
        s_row = [value / temperature for value in s_row]
        if multi_label:
            row = 0.0
            for t, s in zip(t_row, s_row, strict=True):
                p, q = 1 / (1 + math.exp(-t)), 1 / (1 + math.exp(-s))
                row += p * math.log(p / q)
                row += (1 - p) * math.log((1 - p) / (1 - q))
            total += row / len(t_row)
        else:
            p_row, q_row = softmax(t_row), softmax(s_row)
            for p, q in zip(p_row, q_row, strict=True):
                total += p * math.log(p / q)
    return temperature**2 * total / len(teacher)
