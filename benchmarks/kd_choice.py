"""How the weights of a row are chosen, from what has been run of it.

A row's runs are dictionaries of results by seed, by options: the weight of the
logits and that of the layers.
"""

from kd_methods import SHIPPED, SHIPPED_WEIGHTS, split

KD_WEIGHTS = (1.0, 4.0, 16.0, 64.0)
# The first one is that with which the weight of the logits is chosen.
WEIGHTS = (1.0, 0.1, 10.0)


def first_options(row):
    """What the weight of the logits is chosen from."""
    name, kd = split(row)
    if name in SHIPPED:
        return [SHIPPED_WEIGHTS]
    weight = 0.0 if name is None else WEIGHTS[0]
    return [(k, weight) for k in (KD_WEIGHTS if kd else (0.0,))]


def second_options(row, choice):
    """What the weight of the layers is chosen from, given the former."""
    name, _ = split(row)
    fixed = name is None or name in SHIPPED
    return [choice] if fixed else [(choice[0], w) for w in WEIGHTS]


def best(runs, options, seeds):
    """The options of the best mean validation result of the first seeds.

    None if some of them have not been run.
    """
    if len(options) == 1:
        return options[0]
    for option in options:
        if not all(seed in runs.get(option, {}) for seed in range(seeds)):
            return None
    return max(
        options, key=lambda o: sum(runs[o][s]['val'] for s in range(seeds))
    )


def choose(runs, row, seeds):
    """Both choices, one after the other, or None."""
    choice = best(runs, first_options(row), seeds)
    if choice is None:
        return None
    return best(runs, second_options(row, choice), seeds)
