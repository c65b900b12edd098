r"""Does it work, for a given model and data set, and how well?"""

from pyg_distill.evaluation.collapse import CollapseReport, collapse_report
from pyg_distill.evaluation.evaluate import evaluate
from pyg_distill.evaluation.exactness import Exactness, check_exact
from pyg_distill.evaluation.model_embeddings import model_embeddings
from pyg_distill.evaluation.one_hot import OneHot
from pyg_distill.evaluation.result import (
    ComparedCell,
    Comparison,
    Evaluation,
    Record,
    SetRecord,
)

checks = ['check_exact', 'Exactness', 'collapse_report', 'CollapseReport']
training_sets = ['evaluate', 'Evaluation', 'Record', 'SetRecord', 'OneHot']
comparisons = ['Comparison', 'ComparedCell']
embeddings = ['model_embeddings']

__all__ = checks + training_sets + comparisons + embeddings
