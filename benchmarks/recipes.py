"""The learning rates and steps that the recipes pin, by validation alone.

Trains on the full training split and prints, for each learning rate, the mean
validation ROC-AUC at the best step and at which step that was. The test graphs
are not read.
"""

import argparse

import torch
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from pyg_distill.evaluation import evaluate, get_recipe, list_recipes

MODELS = {'GCN': GCN, 'GIN': GIN, 'GAT': GAT, 'SAGE': GraphSAGE}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--root', default='data', help='of TUDataset and OGB')
parser.add_argument('--datasets', nargs='+', default=list_recipes())
parser.add_argument('--models', nargs='+', default=['GCN', 'GIN'])
parser.add_argument('--lr', nargs='+', type=float, default=[0.001, 0.005])
parser.add_argument('--steps', type=int, default=2000)
parser.add_argument('--batch_size', type=int)
parser.add_argument('--runs', type=int, default=1)
args = parser.parse_args()
torch.set_num_threads(1)

for name in args.datasets:
    recipe = get_recipe(name)
    dataset = recipe.load(args.root)
    splits = [recipe.split(dataset, run) for run in range(args.runs)]
    val = [dataset[index] for _, index, _ in splits]
    for lr in args.lr:
        options = recipe.options(dataset) | {'steps': args.steps, 'lr': lr}
        if args.batch_size is not None:
            options['batch_size'] = args.batch_size
        result = evaluate(
            {'full': [dataset[index] for index, _, _ in splits]},
            test=val,
            val=val,
            models={model: MODELS[model] for model in args.models},
            runs=args.runs,
            log=False,
            **options,
        )
        records = result.records
        auc = sum(r.val_auc for r in records) / len(records)
        step = sorted(r.step for r in records)
        seconds = sum(r.seconds for r in records) / len(records)
        print(
            f'{name:14} lr {lr:g}: {auc:.4f}, steps {step}, '
            f'{seconds:.0f} s a training',
            *(f'{r.model} {r.readout} {r.val_auc:.3f}' for r in records),
            flush=True,
        )
