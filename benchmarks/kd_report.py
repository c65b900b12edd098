"""Tables out of the runs that kd.py has written."""

from itertools import product
from statistics import fmean as mean

import torch
from kd_choice import choose
from kd_settings import SETTINGS


def final(cells, row, seeds, tune_seeds):
    """The chosen options of a row and its runs by seed, if it is complete."""
    runs = cells.get(row, {})
    choice = choose(runs, row, tune_seeds)
    if choice is None:
        return None
    chosen = runs.get(choice, {})
    if not all(seed in chosen for seed in range(seeds)):
        return None
    return choice, {seed: chosen[seed] for seed in range(seeds)}


def p_value(differences):
    """Two-sided, by all (or many) ways to flip the signs of the differences.

    The signs as they are count, too, so that it is never zero.
    """
    d = torch.tensor(differences, dtype=torch.double)
    n = len(d)
    if n <= 12:
        signs = torch.tensor(list(product((1.0, -1.0), repeat=n)))
    else:
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(2, (20000, n), generator=generator) * 2.0 - 1
        signs[0] = 1.0
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


def differences(mine, other):
    """By seed, in points."""
    return [100 * (mine[s]['test'] - other[s]['test']) for s in mine]


def by_seed(gains):
    """Averages over settings, in which a seed decides the same."""
    return [sum(some) / len(some) for some in zip(*gains, strict=True)]


def line(row, choice, runs, extra=''):
    test = torch.tensor([100 * r['test'] for r in runs.values()])
    val = torch.tensor([100 * r['val'] for r in runs.values()])
    std = test.std(correction=0)
    kd, weight = choice
    return (
        f'{row:22} {kd:4g} {weight:6g} {val.mean():6.1f} '
        f'{test.mean():6.1f} ± {std:4.1f} {extra}'
    )


def table(found, mine):
    """Prints the rows of a setting, and returns what `mine` gains on each."""
    _, own = found.get(mine, (None, {}))
    gains = {
        row: differences(own, runs)
        for row, (_, runs) in found.items()
        if len(own) > 1 and row != mine
    }
    corrected = holm([p_value(d) for d in gains.values()])
    corrected = dict(zip(gains, corrected, strict=True))
    print(f'{"":22} {"kd":>4} {"weight":>6} {"val":>6} {"test":>6}')
    for row, (choice, runs) in found.items():
        extra = ''
        if d := gains.get(row):
            extra = f'{sum(d) / len(d):+5.1f} (p {corrected[row]:.3f})'
        print(line(row, choice, runs, extra))
    return gains


def average(runs):
    """Of the test results, in percent."""
    return sum(100 * run['test'] for run in runs.values()) / len(runs)


def ranks(found, rows):
    """The rank of each row by its mean, those that are equal in the middle."""
    means = {row: average(found[row][1]) for row in rows}
    out = {}
    for row, value in means.items():
        above = sum(v > value for v in means.values())
        equal = sum(v == value for v in means.values())
        out[row] = above + (equal + 1) / 2
    return out


def report(results, rows, mine, seeds, tune_seeds):
    """Prints a table a setting, then ranks and tests over all of them."""
    found, gains = {}, {}
    for setting, cells in results.items():
        every = {row: final(cells, row, seeds, tune_seeds) for row in rows}
        found[setting] = {row: x for row, x in every.items() if x}
        print(
            f'\n{setting}: test in percent of {seeds} seeds, {mine} minus row'
        )
        gains[setting] = table(found[setting], mine)
        if missing := [row for row, x in every.items() if not x]:
            print(f'Left out, not complete: {", ".join(missing)}')
    common = [row for row in rows if all(row in f for f in found.values())]
    settings = {setting: [setting] for setting in found}
    sets = {}
    for setting in found:
        sets.setdefault(SETTINGS[setting].dataset, []).append(setting)
    for name, groups in (('settings', settings), ('data sets', sets)):
        if len(groups) > 1 and (name == 'settings' or len(sets) < len(found)):
            pool(name, list(groups.values()), found, gains, common, mine)


def pool(name, groups, found, gains, rows, mine):
    """Prints averages over groups of settings, of which each counts once."""
    placed = {setting: ranks(f, rows) for setting, f in found.items()}

    def average_over(value):
        return mean([mean([value(s) for s in group]) for group in groups])

    tests = {
        row: by_seed(
            [by_seed([gains[s][row] for s in group]) for group in groups]
        )
        for row in rows
        if all(row in g for g in gains.values())
    }
    corrected = holm([p_value(d) for d in tests.values()])
    corrected = dict(zip(tests, corrected, strict=True))
    rank = {row: average_over(lambda s, r=row: placed[s][r]) for row in rows}
    print(f'\nMean rank and result over {len(groups)} {name}, {mine} minus row')
    for row in sorted(rows, key=rank.get):
        result = average_over(lambda s, r=row: average(found[s][r][1]))
        text = ''
        if d := tests.get(row):
            text = f'{mean(d):+5.1f} (p {corrected[row]:.3f})'
        print(f'{row:22} {rank[row]:5.2f} {result:6.1f} {text}')
