"""What is a training set worth to architectures that it was not made for?"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from time import perf_counter
from typing import Any, TypeAlias

import torch
from torch_geometric.data.dataset import Dataset
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from pyg_distill.datasets.progress import Progress
from pyg_distill.evaluation.cross.checks import (
    check_rates,
    check_whole,
    read_models,
    read_readouts,
    read_runs,
    read_train_sets,
)
from pyg_distill.evaluation.cross.classifier import (
    GraphClassifier,
    ModelBuilder,
)
from pyg_distill.evaluation.cross.graph_table import Encoder, GraphTable
from pyg_distill.evaluation.cross.measuring import measure
from pyg_distill.evaluation.cross.metrics import (
    accuracy,
    load_roc_auc,
    roc_auc,
)
from pyg_distill.evaluation.cross.records import Record, SetRecord
from pyg_distill.evaluation.cross.seeds import seeded
from pyg_distill.evaluation.cross.sets import RunSets
from pyg_distill.evaluation.cross.training import (
    TrainingOptions,
    mini_batches,
    predict,
    train,
)
from pyg_distill.evaluation.cross.views import Views
from pyg_distill.evaluation.evaluation import Evaluation
from pyg_distill.nn import num_hops

DatasetOrRuns: TypeAlias = (
    Dataset | Sequence[Any] | Callable[[int], Dataset | Sequence[Any]]
)


def evaluate(
    train_sets: DatasetOrRuns | Mapping[str, DatasetOrRuns],
    test: DatasetOrRuns,
    val: DatasetOrRuns,
    models: Sequence[ModelBuilder] | Mapping[str, ModelBuilder] = (
        GCN,
        GIN,
        GAT,
        GraphSAGE,
    ),
    readouts: Sequence[str] = ('sum', 'mean'),
    runs: int | Sequence[int] = 5,
    steps: int = 1000,
    batch_size: int = 128,
    lr: float = 0.001,
    weight_decay: float = 0.0,
    num_layers: int = 2,
    hidden_channels: int = 64,
    eval_every: int = 50,
    encode: Encoder | None = None,
    exclude_keys: Sequence[str] = (),
    name: str = '',
    device: torch.device | str = 'cpu',
    log: bool = True,
) -> Evaluation:
    r"""Trains several architectures on several training sets and tests them.

    Each training set, model, readout and run is one training: weights are
    drawn from the number of the run, :class:`~torch.optim.Adam` takes the same
    number of steps on every training set, however small it is, and the step of
    the largest ROC-AUC on the validation graphs is the one that is tested. The
    loss is the cross entropy, weighted by :obj:`data.weight` where there is
    one. Two runs of the same call give the same numbers.

    .. code-block:: python

        result = evaluate(
            {
                'full': dataset[train_idx],
                'distilled': MirageDataset(dataset[train_idx], num_layers=3),
            },
            test=dataset[test_idx],
            val=dataset[val_idx],
        )
        print(result)

    Graphs without node features get a one each. (Degrees must be there before
    distilling, since the leaves of trees have lost their neighbors.)
    Mini-batches of an epoch are of equal size but for one graph, and a set
    that fits into one is always trained on as a whole.

    Args:
        train_sets (Dataset or dict): A training set or several by name. Each
            is a data set or list of graphs, ordinary ones or in tree-set form,
            or a list with a data set for each run, or a function that is given
            the number of the run, for splits and draws that change with the
            seed. It is called once a run, so that all training sets are tested
            on the same graphs.
        test (Dataset or list or callable): The test graphs, in the same ways.
        val (Dataset or list or callable): The validation graphs, in the same
            ways.
        models (list or dict, optional): What builds a model from
            :obj:`in_channels`, :obj:`hidden_channels` and :obj:`num_layers`.
            It is called with :obj:`x` and :obj:`edge_index`, and
            :obj:`edge_attr` and :obj:`edge_weight` by name if its
            :obj:`forward` has them, and returns node embeddings of width
            :obj:`hidden_channels`. (default: :class:`~torch_geometric.nn.GCN`,
            :class:`~torch_geometric.nn.GIN`, :class:`~torch_geometric.nn.GAT`
            and :class:`~torch_geometric.nn.GraphSAGE`)
        readouts (list, optional): How node embeddings are pooled:
            :obj:`"sum"`, :obj:`"mean"` or :obj:`"max"`.
            (default: :obj:`("sum", "mean")`)
        runs (int or list, optional): The number of runs, or their numbers.
            (default: :obj:`5`)
        steps (int, optional): The number of steps. (default: :obj:`1000`)
        batch_size (int, optional): The largest number of graphs of a
            mini-batch. (default: :obj:`128`)
        lr (float, optional): The learning rate. (default: :obj:`0.001`)
        weight_decay (float, optional): The weight decay.
            (default: :obj:`0.0`)
        num_layers (int, optional): The number of layers of each model.
            (default: :obj:`2`)
        hidden_channels (int, optional): Their width. (default: :obj:`64`)
        eval_every (int, optional): The number of steps between two looks at
            the validation graphs. (default: :obj:`50`)
        encode (callable, optional): What makes float features of :obj:`x` as
            it is stored, such as :class:`~pyg_distill.evaluation.OneHot` of
            category codes. (default: :obj:`None`)
        exclude_keys (list, optional): Names of attributes that no model reads
            and that do not count as bytes. (default: :obj:`()`)
        name (str, optional): The name of the task, to tell it from others in a
            merged result. (default: :obj:`""`)
        device (torch.device, optional): Where to train.
            (default: :obj:`"cpu"`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Returns:
        Evaluation: All that was measured, to be printed.

    Raises:
        ImportError: If scikit-learn is not installed.
        TypeError: If a data set or a model is of another kind.
        ValueError: If an option or a data set does not fit, the graphs that
            are tested are of one class, or training diverges.
    """
    load_roc_auc('evaluate')
    check_whole(
        steps=steps,
        batch_size=batch_size,
        num_layers=num_layers,
        hidden_channels=hidden_channels,
        eval_every=eval_every,
    )
    check_rates(lr, weight_decay)
    numbers, builders = read_runs(runs), read_models(models)
    pools = read_readouts(readouts)
    options = TrainingOptions(steps, batch_size, lr, weight_decay, eval_every)

    def read(dataset: Any, owner: str) -> Views:
        table = GraphTable.read(dataset, owner, encode, exclude_keys, device)
        return Views(table, batch_size)

    def read_held_out(dataset: Any, owner: str) -> Views:
        views = read(dataset, owner)
        _check_classes(views.table, owner)
        return views

    sets = {
        key: RunSets(value, key, numbers, read)
        for key, value in read_train_sets(train_sets).items()
    }
    val_sets = RunSets(val, 'val', numbers, read_held_out)
    test_sets = RunSets(test, 'test', numbers, read_held_out)
    records: list[Record] = []
    set_records: list[SetRecord] = []
    total = len(numbers) * len(sets) * len(builders) * len(pools)
    with Progress('Evaluating', log, total) as progress:
        for run, key in product(numbers, sets):
            progress.stage(f'run {run} of {key!r}')
            dataset, view = sets[key](run)
            set_records.append(measure(dataset, exclude_keys, name, key, run))
            _, val_view = val_sets(run)
            _, test_view = test_sets(run)
            # No dictionary: a training set may be called 'test', too.
            tables = [
                (key, view.table),
                ('val', val_view.table),
                ('test', test_view.table),
            ]
            num_classes = max(2, *(t.num_classes for _, t in tables))
            channels = _channels(tables)
            for model_name, readout in product(builders, pools):
                start = perf_counter()
                with seeded(run):
                    build = builders[model_name]
                    gnn = build(channels, hidden_channels, num_layers)
                    model = GraphClassifier(
                        gnn, hidden_channels, num_classes, readout
                    ).to(device)
                    if run == numbers[0] and readout == pools[0]:
                        _warn_if_deeper(gnn, model_name, view.table, key)
                    batches = mini_batches(
                        view.take(model),
                        view.table.num_graphs,
                        batch_size,
                        run,
                        device,
                    )
                    best = train(
                        model, batches, val_view.chunks(model), options
                    )
                seconds = perf_counter() - start
                if best is None:
                    raise ValueError(
                        f"training of '{model_name}' on '{key}' diverged (no "
                        f'finite outputs at any validated step of run {run}); '
                        f'lower lr (it is {lr}), or scale the features'
                    )
                label, out = predict(model, test_view.chunks(model))
                records.append(
                    Record(
                        dataset=name,
                        train_set=key,
                        model=model_name,
                        readout=readout,
                        run=run,
                        accuracy=accuracy(label, out),
                        auc=roc_auc(label, out),
                        val_auc=best.auc,
                        val_loss=best.loss,
                        step=best.step,
                        seconds=seconds,
                    )
                )
                progress.update()
    trained = {**asdict(options), 'num_layers': num_layers}
    trained |= {'hidden_channels': hidden_channels}
    trained |= {'exclude_keys': list(exclude_keys)}
    return Evaluation(records, set_records, {name: trained})


def _check_classes(table: GraphTable, owner: str) -> None:
    label = table.label.unique()
    if label.numel() == 1:
        raise ValueError(
            f"'{owner}' must hold graphs of two classes or more (got class "
            f'{int(label)} alone), as there is no ROC-AUC of one; use a '
            f'stratified split, or more graphs'
        )


def _channels(tables: Sequence[tuple[str, GraphTable]]) -> int:
    width = [table.width for _, table in tables]
    if len({*width}) > 1:
        got = ', '.join(f'{table.width} in {key!r}' for key, table in tables)
        raise ValueError(
            f"'x' must be of one width in all data sets (got {got}); make "
            f'them of the same features'
        )
    return width[0]


def _warn_if_deeper(
    gnn: torch.nn.Module, model: str, table: GraphTable, key: str
) -> None:
    depth = table.columns.get('num_layers')
    if 'root_index' not in table.columns or depth is None:
        return
    least, hops = int(depth.value.min()), num_hops(gnn)
    if hops > least:
        warnings.warn(
            f"'{model}' reads {hops} hops, and the trees of '{key}' are of "
            f'{least}: it sees other embeddings than in graphs; distil with '
            f'num_layers={hops}, or take it as it is',
            stacklevel=3,
        )
