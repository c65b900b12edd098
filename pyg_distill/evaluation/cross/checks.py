"""Are the options of an evaluation what they must be?"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

READOUTS = ('sum', 'mean', 'max')


def check_whole(**values: Any) -> None:
    """Refuses what is no whole number above 0.

    Raises:
        ValueError: If there is any.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f"'{name}' must be a whole number above 0 (got {value!r}); "
                f'leave it out for the default'
            )


def check_rates(lr: Any, weight_decay: Any) -> None:
    """Refuses a learning rate or decay that trains nothing.

    Raises:
        ValueError: If one is not finite, or too small.
    """
    for name, value, good in [
        ('lr', lr, lambda v: v > 0),
        ('weight_decay', weight_decay, lambda v: v >= 0),
    ]:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and good(value)):
            least = 'above 0' if name == 'lr' else 'of 0 or more'
            raise ValueError(
                f"'{name}' must be a finite number {least} (got {value!r}); "
                f'leave it out for the default'
            )


def read_runs(runs: int | Sequence[int]) -> list[int]:
    """The numbers of the runs, which are their seeds.

    Raises:
        ValueError: If there are none, or one is not a seed.
    """
    if isinstance(runs, int) and not isinstance(runs, bool) and runs > 0:
        return list(range(runs))
    numbers = [] if isinstance(runs, int | str) else list(runs)
    good = all(isinstance(r, int) and 0 <= r < 2**32 for r in numbers)
    if not numbers or not good or len({*numbers}) < len(numbers):
        raise ValueError(
            f"'runs' must be the number of runs or a list of different seeds "
            f'(got {runs!r}); pass 5, or [0, 1, 2, 3, 4]'
        )
    return numbers


def read_readouts(readouts: str | Sequence[str]) -> list[str]:
    """The names of the readouts.

    Raises:
        ValueError: If there are none, or one is not known.
    """
    names = [readouts] if isinstance(readouts, str) else list(readouts)
    unknown = [name for name in names if name not in READOUTS]
    if not names or unknown or len({*names}) < len(names):
        raise ValueError(
            f"'readouts' must be different ones of {', '.join(READOUTS)} (got "
            f"{readouts!r}); try ['sum', 'mean']"
        )
    return names


def read_models(models: Any) -> dict[str, Callable[[int, int, int], Any]]:
    """What builds each model, by its name.

    Raises:
        TypeError: If one cannot be called.
        ValueError: If there are none, or names are missing or repeat.
    """
    if isinstance(models, Mapping):
        named = [(str(name), model) for name, model in models.items()]
    else:
        given = list(models) if isinstance(models, Sequence) else [models]
        named = [(getattr(m, '__name__', ''), m) for m in given]
    for _, model in named:
        if not callable(model):
            raise TypeError(
                f"'models' must hold classes or functions that build a model "
                f'(got {model!r}); pass torch_geometric.nn.GIN, or lambda '
                f'in_channels, hidden_channels, num_layers: ...'
            )
        if not inspect.isclass(model) and hasattr(model, 'forward'):
            raise TypeError(
                f"'models' must hold what builds a model (got a "
                f"'{type(model).__name__}' that is built already), as every "
                f'run starts anew; pass its class or a function'
            )
    names = [name for name, _ in named]
    unclear = len({*names}) < len(names) or '' in names or '<lambda>' in names
    if not names or unclear:
        raise ValueError(
            f"'models' must hold models with names of their own (got "
            f"{names}); pass a dictionary such as {{'wide GIN': ...}}"
        )
    return dict(named)


def read_train_sets(train_sets: Any) -> dict[str, Any]:
    """The training sets by their name.

    Raises:
        ValueError: If there are none.
    """
    if not isinstance(train_sets, Mapping):
        return {'train': train_sets}
    if not train_sets:
        raise ValueError(
            "'train_sets' must hold at least one data set (got none); pass "
            "{'full': dataset[train_idx]}"
        )
    return {str(name): value for name, value in train_sets.items()}
