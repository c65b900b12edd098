"""The default: several ways to fill a budget, and the best result is kept."""

from dataclasses import replace

from pyg_distill.data.statistics import TreeStatistics
from pyg_distill.selection.base import Selected, Selector
from pyg_distill.selection.budget import Budget, BudgetTooSmall
from pyg_distill.selection.frequent import FrequentTrees
from pyg_distill.selection.herding import Herding
from pyg_distill.selection.scoring import Scorer

# A candidate must lead those before it by this much, since scores are as
# random as the features.
MARGIN = 0.03


class Auto(Selector):
    """Tries several selectors, and keeps the result with the best score.

    The candidates are :class:`Herding` by shares of trees, by shares and
    counts, and :class:`FrequentTrees`. A :class:`Scorer` compares them
    without training a network. The first candidate is kept unless a later one
    leads by more than 0.03. A candidate that does not fit the budget is left
    out, and so are trees where graphs have attributes that trees cannot
    carry.
    """

    name = 'auto'
    needs = ('shares', 'counts')
    builds_trees = False

    def select(self, statistics: TreeStatistics, budget: Budget) -> Selected:
        """Fills the budget in several ways."""
        candidates: dict[str, Selector] = {
            'herding': Herding('shares'),
            'herding (both)': Herding('both'),
        }
        if budget.num_graphs is None:
            candidates['frequent'] = FrequentTrees()
        # Without a budget, all candidates fill the default one.
        explicit = Budget(
            statistics, budget.budget, budget.num_graphs, budget.class_weight
        )
        scorer = Scorer(statistics, budget.class_weight)
        scores: dict[str, float] = {}
        best: Selected | None = None
        highest, errors = 0.0, []
        for name, selector in candidates.items():
            try:
                limit = explicit if name == 'frequent' else budget
                selected = selector(statistics, limit)
            except BudgetTooSmall as error:
                errors.append(error)
                continue
            except ValueError:
                # Trees cannot be built, or hardly any repeats.
                if name != 'frequent':
                    raise
                continue
            scores[name] = scorer(selected)
            if best is None or scores[name] > highest + MARGIN:
                best, highest = selected, scores[name]
        if best is None:
            raise min(errors, key=lambda error: error.num_bytes)
        return replace(best, scores=scores)
