"""The options of a distilled data set, checked before any work is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from pyg_distill.transforms.levels import check_exclude_keys
from pyg_distill.transforms.to_computation_trees import check_num_layers

Support = int | float | Mapping[int, int | float]


@dataclass(frozen=True)
class PatternOptions:
    """The options of :obj:`selection="patterns"`; see `MirageDataset`."""

    min_support: Support = 0.1
    patterns: str = 'closed'
    shared: str = 'keep'
    root_count: str = 'mean'
    max_patterns: int | None = 10_000
    max_size: int | None = None

    def __post_init__(self) -> None:
        # Plain numbers, as NumPy's cannot be written to a report.
        object.__setattr__(self, 'min_support', _plain(self.min_support))
        _one_of('patterns', self.patterns, ('closed', 'maximal', 'all'))
        _one_of('shared', self.shared, ('keep', 'drop'))
        _one_of('root_count', self.root_count, ('mean', 'one'))
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


@dataclass(frozen=True)
class MirageOptions:
    """All options that change the result; see `MirageDataset`."""

    num_layers: int
    selection: str
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
        _one_of('selection', self.selection, ('patterns', 'lossless'))
        _one_of('balance', self.balance, ('source', 'uniform', 'none'))
        changed = self.of_patterns.changed()
        if self.selection != 'patterns' and changed:
            raise ValueError(
                f'{", ".join(changed)} can be given with '
                f"selection='patterns' only (got selection="
                f'{self.selection!r})'
            )

    def to_dict(self) -> dict[str, Any]:
        """The options by name, without those that do not matter here."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        del out['of_patterns']
        if self.selection == 'patterns':
            first = ('num_layers', 'selection')
            head = {name: out.pop(name) for name in first}
            out = head | self.of_patterns.to_dict() | out
        return out


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(
            f"'{name}' must be one of {', '.join(map(repr, allowed))} (got "
            f'{value!r})'
        )


def _at_least_one(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"'{name}' must be an integer (got {value!r}); give None for no "
            f'bound'
        )
    if value < 1:
        raise ValueError(
            f"'{name}' must be 1 or more (got {value}); give None for no bound"
        )


def _plain(min_support: Any) -> Any:
    if not isinstance(min_support, Mapping):
        return _plain_support(min_support)
    for label in min_support:
        if not isinstance(label, Integral):
            raise TypeError(
                f"'min_support' must have class labels as keys (got "
                f'{label!r}); give {{0: 0.1, 1: 0.2}}, say'
            )
    return {
        int(label): _plain_support(min_support[label])
        for label in sorted(min_support)
    }


def _plain_support(value: Any) -> int | float:
    hint = '1 is one graph, 1.0 is all graphs of a class'
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"'min_support' must be a share (a float) or a count (an int) "
            f'(got {value!r}); {hint}'
        )
    if isinstance(value, Integral):
        if value < 1:
            raise ValueError(
                f"'min_support' must be a count of 1 or more or a share in "
                f'(0, 1] (got {value}); {hint}'
            )
        return int(value)
    share = float(value)
    if not 0 < share <= 1:
        raise ValueError(
            f"'min_support' must be a share in (0, 1] or a count (got "
            f'{share}); {hint}'
        )
    return share
