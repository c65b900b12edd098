r"""Does it work for a given model and data set?"""

from pyg_distill.evaluation.collapse import collapse_report
from pyg_distill.evaluation.collapse_result import CollapseReport, LossState
from pyg_distill.evaluation.exactness import Exactness, check_exact

checks = [
    'check_exact',
    'Exactness',
    'collapse_report',
    'CollapseReport',
    'LossState',
]

__all__ = checks
