# Compares ways to make a training set small, at equal bytes when packed.
import argparse
import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path

import torch
from selections_report import compare, report
from torch_geometric import seed_everything
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GIN, global_add_pool

from pyg_distill.datasets import CoresetDataset, MirageDataset, payload
from pyg_distill.evaluation import (
    Evaluation,
    evaluate,
    get_recipe,
    list_recipes,
    model_embeddings,
)

MIRAGE = ['patterns', 'multisets', 'graphs', 'auto']
CORESETS = ['random', 'k_center', 'k_center trained']
CORESETS += ['herding', 'herding trained']
NAMES = ['full', *CORESETS, *MIRAGE]
TRAINING = ['steps', 'lr', 'batch_size', 'eval_every']

parser = argparse.ArgumentParser()
parser.add_argument('--root', default='data')
parser.add_argument('--datasets', default=['MUTAG'], nargs='+')
parser.add_argument('--budgets', type=float, default=[0.02], nargs='+')
parser.add_argument('--runs', type=int, default=3)
parser.add_argument('--first_run', type=int, default=0)
parser.add_argument('--steps', type=int, help="instead of the recipe's")
parser.add_argument('--eval_every', type=int, default=25)
parser.add_argument('--batch_size', type=int, help="instead of the recipe's")
parser.add_argument('--lr', type=float, help="instead of the recipe's")
parser.add_argument('--path', help='results, which are kept and added to')
parser.add_argument('--report', action='store_true', help='print --path only')
parser.add_argument('--sets', nargs='+', help='only these training sets')
parser.add_argument('--mine', default='auto', help='the set to compare')
args = parser.parse_args()
torch.set_num_threads(1)
if unknown := {*(args.sets or []), args.mine} - {*NAMES}:
    parser.error(f'no sets {sorted(unknown)}; take {NAMES}')
unknown = {*args.datasets} - {*list_recipes()}
if unknown:
    parser.error(f'no recipe for {sorted(unknown)}; take {list_recipes()}')


class Encoded(torch.nn.Module):
    """A classifier whose embeddings of graphs tell them apart."""

    def __init__(self, dataset, encode):
        super().__init__()
        self.encode = encode
        x = dataset[0].x if encode is None else encode(dataset[0].x)
        self.gnn = GIN(x.size(1), 64, 2)
        self.lin = torch.nn.Linear(64, dataset.num_classes)

    def forward(self, x, edge_index, batch):
        x = x if self.encode is None else self.encode(x)
        return self.lin(global_add_pool(self.gnn(x, edge_index), batch))


def trained_embeddings(dataset, options, seed):
    """What the literature herds: the graphs as a trained model sees them."""
    seed_everything(seed)
    model = Encoded(dataset, options.get('encode'))
    optimizer = torch.optim.Adam(model.parameters(), options['lr'])
    step = 0
    while step < options['steps']:
        for data in DataLoader(dataset, options['batch_size'], shuffle=True):
            optimizer.zero_grad()
            out = model(data.x, data.edge_index, data.batch)
            torch.nn.functional.cross_entropy(out, data.y.view(-1)).backward()
            optimizer.step()
            step += 1
    return model_embeddings(model, dataset, layer='lin')


def training(options):
    """How is trained, in one line."""
    return ' '.join(f'{k}={options[k]:g}' for k in TRAINING if k in options)


def distil(name, source, budget, training, seed):
    if name == 'full':
        return CoresetDataset(source, 'full')
    if name in MIRAGE:
        return MirageDataset(
            source, 2, selection=name, budget=budget, log=False
        )
    method, _, by = name.partition(' ')
    options = {'budget': budget, 'seed': seed, 'log': False}
    if by == 'trained':
        options['embedding'] = trained_embeddings(source, training, seed)
    return CoresetDataset(source, method, **options)


path = Path(args.path) if args.path else None
cells = []
if path and path.exists():
    cells = [json.loads(line) for line in path.read_text().splitlines()]
shown = args.sets or NAMES
known = {(c['dataset'], c['budget'], c['run'], c['set']) for c in cells}


def run_all():
    for dataset_name in args.datasets:
        recipe = get_recipe(dataset_name)
        dataset = recipe.load(args.root)
        given = {key: getattr(args, key) for key in TRAINING}
        options = recipe.options(dataset) | {
            key: value for key, value in given.items() if value is not None
        }
        others = {
            c['training']
            for c in cells
            if c['dataset'] == dataset_name and 'training' in c
        } - {training(options)}
        if others:
            parser.error(
                f"'--path' must hold runs of {dataset_name} that were trained "
                f'alike (got {sorted(others)}, asked for {training(options)}); '
                f'pass another file'
            )
        for run in range(args.first_run, args.first_run + args.runs):
            train, val, test = (dataset[i] for i in recipe.split(dataset, run))
            for budget in [1.0, *args.budgets]:
                names = ['full'] if budget == 1.0 else NAMES[1:]
                for name in names:
                    cell = (dataset_name, budget, run, name)
                    if cell in known or name not in shown:
                        continue
                    yield cell, options, train, val, test


def digest(dataset):
    """Of all that a network sees, with the order of graphs and edges."""
    out = hashlib.sha256()
    for data in dataset:
        for key in sorted({*data.keys()} - {'support'}):
            value = data[key]
            if torch.is_tensor(value):
                out.update(f'{key} {value.dtype} {[*value.shape]}'.encode())
                value = value.contiguous().numpy().tobytes()
            out.update(value if isinstance(value, bytes) else b'%r' % value)
    return out.hexdigest()[:16]


def renamed(result, name, small):
    """The result of an equal training set, as that of `name`."""
    result = json.loads(json.dumps(result))
    for record in result['records'] + result['set_records']:
        record['train_set'] = name
    for record in result['set_records']:
        record |= asdict(payload(small))
        for key in ('packed_bytes', 'file_size', 'seconds'):
            record[key] = getattr(small.report, key, None)
    return result


def measure(cell, options, train, val, test):
    _, budget, run, name = cell
    start = time.perf_counter()
    out = dict(zip(('dataset', 'budget', 'run', 'set'), cell, strict=True))
    try:
        small = distil(name, train, budget, options, run)
    except ValueError as error:
        return out | {'error': str(error)}
    seconds = time.perf_counter() - start
    # Equal graphs in another order of edges would be told apart by rounding.
    small._data, small.slices = small.collate([data.sort() for data in small])
    out |= {
        'seconds': seconds,
        'packed_bytes': small.report.packed_bytes,
        'num_graphs': len(small),
        'training': training(options),
        'digest': digest(small),
    }
    # Trained again, it would come to the same numbers.
    same = ('dataset', 'run', 'training', 'digest')
    equal = [c for c in cells if all(c.get(key) == out[key] for key in same)]
    if equal:
        return out | {
            'trained_as': equal[0]['set'],
            'result': renamed(equal[0]['result'], name, small),
        }
    result = evaluate(
        {name: small}, test, val, runs=[run], **options, log=False
    )
    return out | {'result': result.to_dict()}


if not args.report:
    for work in run_all():
        cell = measure(*work)
        cells.append(cell)
        if path:
            with path.open('a') as file:
                file.write(json.dumps(cell) + '\n')
        auc = '-'
        if 'result' in cell:
            records = Evaluation.from_dict(cell['result']).records
            auc = f'{sum(r.auc for r in records) / len(records):.3f}'
        print(*work[0], auc, cell.get('error', ''), flush=True)


order = [name for name in NAMES if name in shown or name == 'full']
budgets = sorted({c['budget'] for c in cells if c['set'] == args.mine})
for budget in budgets:
    report(cells, budget, order, args.mine)
print()
if len({c['run'] for c in cells}) > 1:
    for other in order:
        if other not in ('full', args.mine):
            compare(cells, args.mine, other)
