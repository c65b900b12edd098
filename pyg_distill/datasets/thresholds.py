"""How many graphs of each class must hold a tree set?"""

from collections.abc import Mapping
from dataclasses import dataclass

from pyg_distill.datasets.counting.census import ClassCensus
from pyg_distill.datasets.options import Support
from pyg_distill.trees.mining import support_count


@dataclass(frozen=True)
class Thresholds:
    """The supports asked for, by class.

    Attributes:
        given: As the user gave them.
        least: As numbers of graphs.
    """

    given: dict[int, int | float]
    least: dict[int, int]

    @classmethod
    def of(
        cls, min_support: Support, classes: Mapping[int, ClassCensus]
    ) -> 'Thresholds':
        """Checks what was asked for.

        Args:
            min_support (float or int or dict): As in `MirageDataset`.
            classes (dict): What is known of each class.

        Raises:
            ValueError: If it does not fit the classes, or no tree of a class
                is frequent.
        """
        given = _by_class(min_support, classes)
        least = _support_counts(given, classes)
        _check_reached(given, least, classes)
        return cls(given, least)


def _by_class(
    min_support: Support, classes: Mapping[int, ClassCensus]
) -> dict[int, int | float]:
    if not isinstance(min_support, Mapping):
        return dict.fromkeys(classes, min_support)
    if set(min_support) != set(classes):
        raise ValueError(
            f"'min_support' must name the classes of the source, which are "
            f'{sorted(classes)} (got {sorted(min_support)}); pass a share or a '
            f'count for each'
        )
    return dict(min_support)


def _support_counts(
    given: dict[int, int | float], classes: Mapping[int, ClassCensus]
) -> dict[int, int]:
    for label, known in classes.items():
        value = given[label]
        if isinstance(value, int) and value > known.num_graphs:
            raise ValueError(
                f"'min_support' must not exceed the {known.num_graphs} graphs "
                f'of class {label} (got {value}); pass a smaller count, a '
                f'share (1.0 is all graphs), or a dictionary with either for '
                f'each class'
            )
    return {
        label: support_count(given[label], known.num_graphs)
        for label, known in classes.items()
    }


def _check_reached(
    given: dict[int, int | float],
    least: dict[int, int],
    classes: Mapping[int, ClassCensus],
) -> None:
    for label, known in classes.items():
        if known.best_support == 0:
            raise ValueError(
                f'no tree set of class {label} is frequent, as its '
                f'{known.num_graphs} graphs have no nodes; leave the class out'
            )
    best = {label: known.best_support for label, known in classes.items()}
    short = {label: best[label] for label in best if best[label] < least[label]}
    if not short:
        return
    label = min(short)
    raise ValueError(
        f'no tree set of class {label} reaches the min_support of '
        f'{least[label]} of its {classes[label].num_graphs} graphs (the '
        f'highest support there is {best[label]}); try '
        f'min_support={given | short}, or a smaller num_layers'
    )
