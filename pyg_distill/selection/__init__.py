r"""What to keep of a data set: one selector a file."""

from pyg_distill.selection.auto import Auto
from pyg_distill.selection.base import ClassSummary, Selected, Selector
from pyg_distill.selection.budget import Budget, BudgetTooSmall
from pyg_distill.selection.frequent import FrequentTrees
from pyg_distill.selection.herding import Herding
from pyg_distill.selection.kcenter import KCenter
from pyg_distill.selection.lossless import Lossless
from pyg_distill.selection.multisets import Multisets
from pyg_distill.selection.random import Random
from pyg_distill.selection.resolver import selector_resolver
from pyg_distill.selection.scoring import Scorer

selectors = [
    'Auto',
    'FrequentTrees',
    'Herding',
    'KCenter',
    'Random',
    'Multisets',
    'Lossless',
]
base = [
    'Selector',
    'Selected',
    'ClassSummary',
    'Budget',
    'BudgetTooSmall',
    'Scorer',
    'selector_resolver',
]

__all__ = selectors + base
