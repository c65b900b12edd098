"""Tables out of the runs that kd.py has written."""

from itertools import product

import torch


def final(cells, row):
    """The chosen options of a row, and its runs by seed."""
    choice = choose(cells, row)
    if choice is None:
        return None, {}
    return choice, cells[row][choice]


def choose(cells, row):
    """The options of the best mean validation result, over common seeds."""
    options = cells.get(row, {})
    if not options:
        return None
    seeds = set.intersection(*(set(runs) for runs in options.values()))
    return max(
        options,
        key=lambda o: sum(options[o][s]['val'] for s in seeds),
    )


def p_value(differences):
    """Two-sided, by all (or many) ways to flip the signs of the differences."""
    d = torch.tensor(differences, dtype=torch.double)
    n = len(d)
    if n <= 12:
        signs = torch.tensor(list(product((1.0, -1.0), repeat=n)))
    else:
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(2, (20000, n), generator=generator) * 2.0 - 1
    means = (signs.double() @ d / n).abs()
    return float((means >= d.mean().abs() - 1e-12).double().mean())


def holm(values):
    """Corrects for the number of comparisons."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    out, largest = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, (len(values) - rank) * values[i])
        out[i] = min(1.0, largest)
    return out


def compare(mine, other):
    """The mean difference over common seeds, in points, and its p-value."""
    seeds = sorted(set(mine) & set(other))
    d = [100 * (mine[s]['test'] - other[s]['test']) for s in seeds]
    if len(d) < 2:
        return None
    return sum(d) / len(d), p_value(d), len(d)


def line(row, choice, runs, extra=''):
    test = torch.tensor([100 * r['test'] for r in runs.values()])
    val = torch.tensor([100 * r['val'] for r in runs.values()])
    std = test.std(correction=0)
    kd, weight = choice
    return (
        f'{row:16} {kd:4g} {weight:6g} {len(test):5} {val.mean():6.1f} '
        f'{test.mean():6.1f} ± {std:3.1f} {extra}'
    )


def report(results, rows, mine):
    """Prints a table a setting, then ranks and tests over all of them."""
    ranks, gains = {}, {}
    for setting, cells in results.items():
        print(f'\n{setting}: test in percent, and {mine} minus the row')
        print(f'{"":16} {"kd":>4} {"weight":>6} seeds    val   test')
        found = {row: final(cells, row) for row in rows if row in cells}
        _, own = found.get(mine, (None, {}))
        tests = {
            row: compare(own, runs)
            for row, (_, runs) in found.items()
            if row != mine
        }
        tests = {row: test for row, test in tests.items() if test}
        corrected = dict(
            zip(tests, holm([t[1] for t in tests.values()]), strict=True)
        )
        means = {}
        for row, (choice, runs) in found.items():
            extra = ''
            if row in tests:
                extra = f'{tests[row][0]:+5.1f} (p {corrected[row]:.3f})'
                gains.setdefault(row, {})[setting] = tests[row][0]
            print(line(row, choice, runs, extra))
            values = [r['test'] for r in runs.values()]
            means[row] = sum(values) / len(values)
        for row, value in means.items():
            above = sum(v > value for v in means.values())
            equal = sum(v == value for v in means.values())
            ranks.setdefault(row, []).append(above + (equal + 1) / 2)
    print(f'\nMean rank, and the mean of what {mine} gains, over settings')
    order = sorted(ranks, key=lambda r: sum(ranks[r]) / len(ranks[r]))
    for row in order:
        rank = sum(ranks[row]) / len(ranks[row])
        own = list(gains.get(row, {}).values())
        text = f'{sum(own) / len(own):+5.1f}' if own else ''
        if len(own) > 1:
            text += f' (p {p_value(own):.3f}, not corrected)'
        print(f'{row:16} {rank:5.2f} of {len(ranks[row])} settings {text}')
