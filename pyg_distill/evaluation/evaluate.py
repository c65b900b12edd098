"""Training sets x models x readouts x runs -> test scores."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import product
from time import perf_counter
from typing import Any, TypeAlias

import torch
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from tqdm import tqdm

from pyg_distill.evaluation.result import Evaluation, Record, SetRecord, require
from pyg_distill.evaluation.training import (
    Encoder,
    GraphClassifier,
    LabelledGraphs,
    Readout,
    check_count,
    predict,
    roc_auc,
    train,
)
from pyg_distill.nn import num_hops

Graphs: TypeAlias = (
    Dataset | Sequence[Data] | Callable[[int], Dataset | Sequence[Data]]
)
ModelBuilder: TypeAlias = Callable[[int, int, int], torch.nn.Module]


def evaluate(
    train_sets: Graphs | Mapping[str, Graphs],
    test: Graphs,
    val: Graphs,
    *,
    models: Sequence[ModelBuilder] | Mapping[str, ModelBuilder] = (
        GCN,
        GIN,
        GAT,
        GraphSAGE,
    ),
    readouts: Readout | Sequence[Readout] = ('sum', 'mean'),
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

    Each training set, model, readout and run is one training. The number of
    the run is the seed of its weights and mini-batches.
    :class:`~torch.optim.Adam` takes the same number of steps on every
    training set, however small. The step of the largest ROC-AUC on the
    validation graphs is tested. Two calls give the same numbers.

    The loss is the cross entropy with :obj:`data.target` (class probabilities)
    if there is one, else with :obj:`data.y`. It is weighted by
    :obj:`data.weight` if there is one.

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

    Graphs without node features get a one each. (Degrees must be features
    before distilling, since the leaves of trees have lost their neighbors.)
    Mini-batches of an epoch are of equal size but for one graph. Equal trees
    in a mini-batch are merged by :class:`~pyg_distill.loader.TreeSetLoader` if
    the model is a :class:`~torch_geometric.nn.GCN` or such without norms and
    dropout. This is faster, and changes results by rounding errors only.

    Args:
        train_sets (Dataset or dict): A training set, or several by name. Each
            is a data set or list of graphs, ordinary ones or in tree-set form,
            or a function that returns one for the number of the run.
        test (Dataset or list or callable): The test graphs, in the same ways.
        val (Dataset or list or callable): The validation graphs, in the same
            ways.
        models (list or dict, optional): Classes or functions that build a
            model from :obj:`in_channels`, :obj:`hidden_channels` and
            :obj:`num_layers`. The model is called with :obj:`x` and
            :obj:`edge_index`, and :obj:`edge_attr` and :obj:`edge_weight` by
            name if its :obj:`forward` has them. It returns node embeddings of
            width :obj:`hidden_channels`. (default:
            :class:`~torch_geometric.nn.GCN`, :class:`~torch_geometric.nn.GIN`,
            :class:`~torch_geometric.nn.GAT` and
            :class:`~torch_geometric.nn.GraphSAGE`)
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
        eval_every (int, optional): The number of steps between two
            validations. (default: :obj:`50`)
        encode (callable, optional): Makes float features of :obj:`x`, such as
            :class:`~pyg_distill.evaluation.OneHot` of category codes.
            (default: :obj:`None`)
        exclude_keys (list, optional): Names of attributes that no model reads
            and that do not count as bytes. (default: :obj:`()`)
        name (str, optional): The name of the task, which tells it from others
            in a merged result. (default: :obj:`""`)
        device (torch.device, optional): The device to train on.
            (default: :obj:`"cpu"`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Returns:
        Evaluation: All scores, sizes and times; prints as tables.

    Raises:
        ImportError: If scikit-learn is not installed.
        TypeError: If a data set or a model is of another kind.
        ValueError: If an option or a data set does not fit, the test or
            validation graphs are of one class, or training diverges.
    """
    require('sklearn.metrics', 'evaluate')
    training: dict[str, Any] = {
        'steps': steps,
        'lr': lr,
        'weight_decay': weight_decay,
        'eval_every': eval_every,
    }
    sizes = {
        'batch_size': batch_size,
        'num_layers': num_layers,
        'hidden_channels': hidden_channels,
    }
    run_ids = [*range(runs)] if isinstance(runs, int) else [*runs]
    check_count(steps=steps, eval_every=eval_every, runs=len(run_ids), **sizes)
    builders = _read_models(models)
    pools = [readouts] if isinstance(readouts, str) else [*readouts]
    if not isinstance(train_sets, Mapping):
        train_sets = {'train': train_sets}
    options = batch_size, encode, exclude_keys, device
    sets = {str(k): _reader(v, str(k), *options) for k, v in train_sets.items()}
    read_val = _reader(val, 'val', *options)
    read_test = _reader(test, 'test', *options)

    records: list[Record] = []
    set_records: list[SetRecord] = []
    total = len(run_ids) * len(sets) * len(builders) * len(pools)
    progress = tqdm(total=total, desc='Evaluating', disable=not log, delay=1)
    for run, key in product(run_ids, sets):
        parts = sets[key](run), read_val(run), read_test(run)
        train_graphs, val_graphs, test_graphs = parts
        set_records.append(SetRecord(name, key, run, **train_graphs.size))
        for part, held_out in zip(parts[1:], ('val', 'test'), strict=True):
            if part.label.unique().numel() == 1:
                raise ValueError(
                    f"'{held_out}' must hold two classes or more for a ROC-AUC "
                    f'(got class {int(part.label[0])} alone); use a stratified '
                    f'split'
                )
        num_classes = max(2, *(part.num_classes for part in parts))
        for model_name, readout in product(builders, pools):
            start = perf_counter()
            with torch.random.fork_rng():
                torch.manual_seed(run)
                gnn = builders[model_name](
                    train_graphs.num_features, hidden_channels, num_layers
                )
                model = GraphClassifier(
                    gnn, hidden_channels, num_classes, readout
                ).to(device)
                hops = num_hops(gnn)
                if hops > train_graphs.depth and readout == pools[0]:
                    warnings.warn(
                        f"'{model_name}' reads {hops} hops, but the trees of "
                        f"'{key}' are {train_graphs.depth} deep, so its "
                        f'embeddings differ from those of graphs; distil with '
                        f'num_layers={hops}',
                        stacklevel=2,
                    )
                best = train(
                    model,
                    train_graphs.mini_batches(run, gnn),
                    val_graphs.in_order(),
                    **training,
                )
            seconds = perf_counter() - start
            if best is None:
                raise ValueError(
                    f"training of '{model_name}' on '{key}' diverged (no "
                    f'finite outputs at any validated step of run {run}); '
                    f'lower lr (it is {lr}), or scale the features'
                )
            label, out = predict(model, test_graphs.in_order())
            accuracy = float((out.argmax(1) == label).double().mean())
            cell = name, key, model_name, readout, run
            auc = roc_auc(label, out)
            records.append(Record(*cell, accuracy, auc, *best, seconds))
            progress.update()
    progress.close()
    used = {**training, **sizes, 'exclude_keys': list(exclude_keys)}
    return Evaluation(records, set_records, {name: used})


def _reader(
    source: Any, name: str, *options: Any
) -> Callable[[int], LabelledGraphs]:
    """A function of the run that reads its data set, and keeps the last."""
    if callable(source) and not isinstance(source, Data):
        return lru_cache(1)(
            lambda run: LabelledGraphs(source(run), name, *options)
        )
    graphs = LabelledGraphs(source, name, *options)
    return lambda run: graphs


def _read_models(models: Any) -> dict[str, ModelBuilder]:
    if isinstance(models, Mapping):
        named = [(str(name), model) for name, model in models.items()]
    else:
        named = [(getattr(m, '__name__', str(m)), m) for m in models]
    names = [name for name, _ in named]
    if not names or len({*names}) < len(names) or '<lambda>' in names:
        raise ValueError(
            f"'models' must hold models with different names (got {names}); "
            f"pass a dictionary such as {{'wide GIN': ...}}"
        )
    for name, model in named:
        if not callable(model) or isinstance(model, torch.nn.Module):
            raise TypeError(
                f"'models' must hold classes or functions that build a model "
                f"(got '{type(model).__name__}' for {name!r}); pass GIN"
            )
    return dict(named)
