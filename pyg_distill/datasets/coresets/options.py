"""The options of a coreset, checked before any work is done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from torch import Tensor

from pyg_distill.datasets.option_checks import one_of, plain_budget
from pyg_distill.transforms.levels import check_exclude_keys
from pyg_distill.transforms.to_computation_trees import check_num_layers

Embedding = str | Tensor | Callable[[Any], Tensor]
BY_EMBEDDING = ('herding', 'k_center')


@dataclass(frozen=True)
class CoresetOptions:
    """All options that change the result; see `CoresetDataset`."""

    method: str
    budget: int | float | None
    num_graphs: int | None
    embedding: Embedding
    num_layers: int
    depths: str
    normalize: str
    seed: int
    balance: str
    exclude_keys: Sequence[str] | None

    def __post_init__(self) -> None:
        one_of('method', self.method, ('random', *BY_EMBEDDING, 'full'))
        one_of('depths', self.depths, ('all', 'last'))
        one_of('normalize', self.normalize, ('none', 'sqrt', 'l2', 'hellinger'))
        one_of('balance', self.balance, ('source', 'uniform', 'none'))
        check_exclude_keys(self.exclude_keys)
        self._check_size()
        self._check_embedding()
        if isinstance(self.seed, bool) or not isinstance(self.seed, Integral):
            raise TypeError(
                f"'seed' must be an integer (got {self.seed!r}); pass 0, 1, 2"
            )
        num_layers = check_num_layers(self.num_layers)
        object.__setattr__(self, 'num_layers', num_layers)
        names = sorted(self.exclude_keys or [])
        object.__setattr__(self, 'exclude_keys', names)

    def _check_size(self) -> None:
        budget, num_graphs = self.budget, self.num_graphs
        if self.method == 'full':
            if budget is not None or num_graphs is not None:
                raise ValueError(
                    f"method='full' keeps all graphs (got budget={budget!r}, "
                    f'num_graphs={num_graphs!r}); leave both out'
                )
            return
        if (budget is None) == (num_graphs is None):
            raise ValueError(
                f"either 'budget' or 'num_graphs' must be given (got budget="
                f'{budget!r}, num_graphs={num_graphs!r}); pass budget=0.02 '
                f'for 2% of the bytes of the source'
            )
        if num_graphs is not None:
            object.__setattr__(self, 'num_graphs', _count(num_graphs))
            return
        object.__setattr__(self, 'budget', plain_budget(budget))

    def _check_embedding(self) -> None:
        given = self.embedding
        if isinstance(given, str) and given == 'trees':
            return
        if not isinstance(given, Tensor) and not callable(given):
            raise TypeError(
                f"'embedding' must be 'trees', a tensor of one row a graph or "
                f'a function that returns one (got {given!r})'
            )
        if self.method not in BY_EMBEDDING:
            raise ValueError(
                f"'embedding' can be given with method='herding' or "
                f"'k_center' only (got method={self.method!r}), since no "
                f'other reads it; leave it out'
            )

    def to_dict(self) -> dict[str, Any]:
        """The options by name, without those that do not matter here."""
        out: dict[str, Any] = {'method': self.method}
        for name in ('budget', 'num_graphs'):
            if getattr(self, name) is not None:
                out[name] = getattr(self, name)
        if self.method in BY_EMBEDDING:
            given = self.embedding
            if isinstance(given, str):
                out |= {
                    'embedding': given,
                    'num_layers': self.num_layers,
                    'depths': self.depths,
                    'normalize': self.normalize,
                }
            elif isinstance(given, Tensor):
                out['embedding'] = f'given {list(given.size())}'
            else:
                out['embedding'] = getattr(
                    given, '__name__', type(given).__name__
                )
        if self.method == 'random':
            out['seed'] = int(self.seed)
        return out | {
            'balance': self.balance,
            'exclude_keys': self.exclude_keys,
        }


def _count(num_graphs: Any) -> int:
    if isinstance(num_graphs, bool) or not isinstance(num_graphs, Integral):
        raise TypeError(
            f"'num_graphs' must be an integer (got {num_graphs!r}); for a "
            f'share of the bytes pass budget=0.02'
        )
    if num_graphs < 1:
        raise ValueError(
            f"'num_graphs' must be 1 or more (got {num_graphs}); pass at "
            f'least one a class'
        )
    return int(num_graphs)
