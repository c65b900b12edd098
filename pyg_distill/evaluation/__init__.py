r"""Does it work for a given model and data set?"""

from pyg_distill.evaluation.exactness import Exactness, check_exact

checks = ['check_exact', 'Exactness']

__all__ = checks
