"""The options of a distilled data set, checked before any work is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Any

from pyg_distill.datasets.option_checks import (
    count_or_share,
    one_of,
    plain_budget,
)
from pyg_distill.transforms.levels import check_exclude_keys
from pyg_distill.transforms.to_computation_trees import check_num_layers

Support = int | float | Mapping[int, int | float]


@dataclass(frozen=True)
class PatternOptions:
    """The options of :obj:`selection="patterns"`; see `MirageDataset`."""

    min_support: Support | None = None
    patterns: str = 'closed'
    shared: str = 'keep'
    root_count: str = 'mean'
    max_patterns: int | None = 10_000
    max_size: int | None = None

    def __post_init__(self) -> None:
        # Plain numbers, as NumPy's cannot be written to a report.
        if self.min_support is not None:
            least = _plain(self.min_support)
            object.__setattr__(self, 'min_support', least)
        one_of('patterns', self.patterns, ('closed', 'maximal', 'all'))
        one_of('shared', self.shared, ('keep', 'drop'))
        one_of('root_count', self.root_count, ('mean', 'one'))
        for name in ('max_patterns', 'max_size'):
            _at_least_one(name, getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """The options by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def changed(self) -> list[str]:
        """The names of the options that differ from their default."""
        return [
            f.name for f in fields(self) if getattr(self, f.name) != f.default
        ]


SELECTIONS = ('auto', 'patterns', 'multisets', 'graphs', 'lossless')
_MAY_KEEP_GRAPHS = ('auto', 'graphs')
DEFAULT_SUPPORT = 0.1


@dataclass(frozen=True)
class SizeOptions:
    """How much to keep; see `MirageDataset`."""

    budget: int | float | None = None
    num_graphs: int | None = None
    num_trees: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'budget', plain_budget(self.budget))
        for name in ('num_graphs', 'num_trees'):
            _at_least_one(name, getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """The options that are given, by name."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: v for name, v in named.items() if v is not None}


@dataclass(frozen=True)
class MirageOptions:
    """All options that change the result; see `MirageDataset`."""

    num_layers: int
    selection: str | None
    size: SizeOptions
    of_patterns: PatternOptions
    balance: str
    compact: bool
    exclude_keys: Sequence[str] | None
    verify: bool

    def __post_init__(self) -> None:
        num_layers = check_num_layers(self.num_layers)
        object.__setattr__(self, 'num_layers', num_layers)
        check_exclude_keys(self.exclude_keys)
        names = sorted(self.exclude_keys or [])
        object.__setattr__(self, 'exclude_keys', names)
        one_of('balance', self.balance, ('source', 'uniform', 'none'))
        changed = self.of_patterns.changed()
        if self.selection is None:
            of_trees = self.size.num_trees is not None or not self.compact
            selection = 'multisets' if of_trees else 'auto'
            selection = 'patterns' if changed else selection
            object.__setattr__(self, 'selection', selection)
        one_of('selection', self.selection, SELECTIONS)
        if self.selection != 'patterns' and changed:
            raise ValueError(
                f'{", ".join(changed)} can be given with '
                f"selection='patterns' only (got selection="
                f'{self.selection!r}); leave out one of the two'
            )
        self._check_size()

    def _check_size(self) -> None:
        size, selection = self.size, self.selection
        given = size.to_dict()
        allowed = {
            'auto': {'budget', 'num_graphs'},
            'patterns': {'budget'},
            'multisets': {'budget', 'num_graphs', 'num_trees'},
            'graphs': {'budget', 'num_graphs'},
            'lossless': set(),
        }[str(selection)]
        odd = sorted({*given} - allowed)
        if odd:
            takes = ' or '.join(sorted(allowed)) or 'none of these'
            raise ValueError(
                f'{", ".join(odd)} cannot be given with selection='
                f'{selection!r}, which takes {takes}; leave it out, or pass '
                f"selection='multisets'"
            )
        if not self.keeps_trees and not self.compact:
            raise ValueError(
                f"'compact' is for trees (got compact=False with selection="
                f'{selection!r}, which may keep graphs as they are); leave it '
                f"out, or pass selection='multisets'"
            )
        if selection == 'patterns':
            wanted = self.of_patterns
            if size.budget is None and wanted.min_support is None:
                wanted = replace(wanted, min_support=DEFAULT_SUPPORT)
                object.__setattr__(self, 'of_patterns', wanted)
            elif size.budget is not None and wanted.min_support is not None:
                raise ValueError(
                    f"'budget' finds a min_support by itself (got budget="
                    f'{size.budget!r} and min_support='
                    f'{wanted.min_support!r}); pass one of them'
                )

    @property
    def has_support(self) -> bool:
        """Whether a support says how much to keep."""
        return self.of_patterns.min_support is not None

    @property
    def keeps_trees(self) -> bool:
        """Whether no whole graphs are kept, whatever the source."""
        return self.selection not in _MAY_KEEP_GRAPHS

    def to_dict(self) -> dict[str, Any]:
        """The options by name, without those that do not matter here."""
        out: dict[str, Any] = {
            'num_layers': self.num_layers,
            'selection': self.selection,
            **self.size.to_dict(),
        }
        if self.selection == 'patterns':
            out |= self.of_patterns.to_dict()
            if self.size.budget is not None:
                del out['min_support']
        return out | {
            'balance': self.balance,
            'compact': self.compact,
            'exclude_keys': self.exclude_keys,
            'verify': self.verify,
        }


def _at_least_one(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"'{name}' must be an integer (got {value!r}); pass None for no "
            f'bound'
        )
    if value < 1:
        raise ValueError(
            f"'{name}' must be 1 or more (got {value}); pass None for no bound"
        )


def _plain(min_support: Any) -> Any:
    if not isinstance(min_support, Mapping):
        return _plain_support(min_support)
    for label in min_support:
        if not isinstance(label, Integral):
            raise TypeError(
                f"'min_support' must have class labels as keys (got "
                f'{label!r}); pass {{0: 0.1, 1: 0.2}}, say'
            )
    return {
        int(label): _plain_support(min_support[label])
        for label in sorted(min_support)
    }


def _plain_support(value: Any) -> int | float:
    hint = '1 is one graph, 1.0 is all graphs of a class'
    return count_or_share('min_support', value, 'a count', hint)
