import numpy as np

from pyg_distill.evaluation import Evaluation, Record, SetRecord


def result(task, budget, sets, runs=(0, 1, 2), models=('GIN', 'GCN'), seed=0):
    """Made up results, in which every number is another one."""
    draw = np.random.default_rng([seed, budget])
    records, sizes = [], []
    for name in sets:
        for run in runs:
            for model in models:
                accuracy, auc = draw.random(2)
                numbers = accuracy, auc, 0.0, 0.0, 1, 1.0
                records.append(Record(task, name, model, 'sum', run, *numbers))
            size = int(draw.integers(budget, 2 * budget))
            sizes.append(SetRecord(task, name, run, 1, 1, 1, 10 * size, size))
    return Evaluation(records, sizes, {})
