r"""Does it work, for a given model and data set, and how well?"""

from pyg_distill.evaluation.collapse import collapse_report
from pyg_distill.evaluation.collapse_result import CollapseReport, LossState
from pyg_distill.evaluation.comparison import ComparedCell, Comparison
from pyg_distill.evaluation.cross.records import Record, SetRecord
from pyg_distill.evaluation.evaluate import evaluate
from pyg_distill.evaluation.evaluation import Evaluation
from pyg_distill.evaluation.exactness import Exactness, check_exact
from pyg_distill.evaluation.model_embeddings import model_embeddings
from pyg_distill.evaluation.one_hot import OneHot
from pyg_distill.evaluation.recipes import Recipe, get_recipe, list_recipes

checks = [
    'check_exact',
    'Exactness',
    'collapse_report',
    'CollapseReport',
    'LossState',
]
training_sets = [
    'evaluate',
    'Evaluation',
    'Record',
    'SetRecord',
    'Comparison',
    'ComparedCell',
    'OneHot',
]
pinned_recipes = ['Recipe', 'get_recipe', 'list_recipes']
embeddings = ['model_embeddings']

__all__ = checks + training_sets + pinned_recipes + embeddings
