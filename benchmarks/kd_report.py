"""How the weights of a row of kd.py are chosen, and tables of its runs."""

from statistics import fmean

import torch
from kd_settings import SETTINGS
from measure import holm, p_value, ranks

KD_WEIGHTS = (1.0, 4.0, 16.0, 64.0)
# The first one is that with which the weight of the logits is chosen.
WEIGHTS = (1.0, 0.1, 10.0)
# Those of Distiller.from_example: a new layer loss is about two.
SHIPPED_WEIGHTS = 4.0, 2.0


def split(row):
    """The layer loss of a row, if there is one, and whether it has logits."""
    name = row.removesuffix('+kd')
    kd = row == 'kd' or row.endswith('+kd')
    return (None if name in ('ce', 'kd') else name), kd


def first_options(row):
    """What the weight of the logits is chosen from."""
    name, kd = split(row)
    if name == 'shipped':
        return [SHIPPED_WEIGHTS]
    weight = 0.0 if name is None else WEIGHTS[0]
    return [(k, weight) for k in (KD_WEIGHTS if kd else (0.0,))]


def second_options(row, choice):
    """What the weight of the layers is chosen from, given the former."""
    fixed = split(row)[0] in (None, 'shipped')
    return [choice] if fixed else [(choice[0], w) for w in WEIGHTS]


def best(runs, options, seeds):
    """The options of the best mean validation result of the first seeds.

    None if some of them have not been run.
    """
    if len(options) == 1:
        return options[0]
    if any(s not in runs.get(o, {}) for o in options for s in range(seeds)):
        return None
    return max(
        options, key=lambda o: sum(runs[o][s]['val'] for s in range(seeds))
    )


def chosen_runs(runs, row, seeds, tune_seeds):
    """The options chosen for a row and its runs, None if not complete."""
    choice = best(runs, first_options(row), tune_seeds)
    if choice is not None:
        choice = best(runs, second_options(row, choice), tune_seeds)
    of_choice = runs.get(choice, {})
    if any(seed not in of_choice for seed in range(seeds)):
        return None
    return choice, [of_choice[seed] for seed in range(seeds)]


def percent(runs, key='test'):
    return torch.tensor([100 * run[key] for run in runs], dtype=torch.double)


def table(rows, mine):
    """Prints the rows of a setting; returns what `mine` gains on each."""
    gains = {}
    if mine in rows and len(rows[mine][1]) > 1:
        own = percent(rows[mine][1])
        gains = {
            row: (own - percent(runs)).tolist()
            for row, (_, runs) in rows.items()
            if row != mine
        }
    corrected = holm({row: p_value(gain) for row, gain in gains.items()})
    print(f'{"":22} {"kd":>4} {"weight":>6} {"val":>6} {"test":>6}')
    for row, ((kd, weight), runs) in rows.items():
        test = percent(runs)
        line = (
            f'{row:22} {kd:4g} {weight:6g} {percent(runs, "val").mean():6.1f} '
            f'{test.mean():6.1f} ± {test.std(correction=0):4.1f}'
        )
        if row in gains:
            line += f' {fmean(gains[row]):+5.1f} (p {corrected[row]:.3f})'
        print(line)
    return gains


def report(results, rows, mine, seeds, tune_seeds):
    """Prints a table a setting, then ranks and tests over all of them."""
    found, gains = {}, {}
    for setting, cells in results.items():
        every = {
            row: chosen_runs(cells.get(row, {}), row, seeds, tune_seeds)
            for row in rows
        }
        found[setting] = {row: x for row, x in every.items() if x}
        print(
            f'\n{setting}: test in percent of {seeds} seeds, {mine} minus row'
        )
        gains[setting] = table(found[setting], mine)
        if missing := [row for row, x in every.items() if not x]:
            print(f'Left out, not complete: {", ".join(missing)}')
    common = [row for row in rows if all(row in f for f in found.values())]
    settings = [[setting] for setting in found]
    datasets = {}
    for setting in found:
        datasets.setdefault(SETTINGS[setting].dataset, []).append(setting)
    if len(settings) > 1 and common:
        pool('settings', settings, found, gains, common, mine)
    if 1 < len(datasets) < len(settings) and common:
        pool('data sets', [*datasets.values()], found, gains, common, mine)


def pool(title, groups, found, gains, rows, mine):
    """Prints averages over groups of settings; each group counts once."""
    means = {
        setting: {row: float(percent(f[row][1]).mean()) for row in rows}
        for setting, f in found.items()
    }
    placed = {setting: ranks(values) for setting, values in means.items()}

    def average(value):
        return fmean(fmean(value(s) for s in group) for group in groups)

    # Settings share what a seed decides: tests are over seeds.
    tested = {
        row: torch.stack(
            [
                torch.tensor([gains[s][row] for s in group]).mean(dim=0)
                for group in groups
            ]
        ).mean(dim=0)
        for row in rows
        if all(row in gain for gain in gains.values())
    }
    corrected = holm({r: p_value(gain.tolist()) for r, gain in tested.items()})
    rank = {row: average(lambda s, r=row: placed[s][r]) for row in rows}
    print(
        f'\nMean rank and result over {len(groups)} {title}, {mine} minus row'
    )
    for row in sorted(rows, key=rank.get):
        result = average(lambda s, r=row: means[s][r])
        text = ''
        if row in tested:
            gain = float(tested[row].mean())
            text = f'{gain:+5.1f} (p {corrected[row]:.3f})'
        print(f'{row:22} {rank[row]:5.2f} {result:6.1f} {text}')
