"""Training sets x models x readouts x runs -> test scores."""

import inspect
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import product
from time import perf_counter
from typing import Any, TypeAlias, get_args

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset
from torch_geometric import seed_everything
from torch_geometric.data import Batch, Data
from torch_geometric.data.dataset import Dataset
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from tqdm import tqdm

from pyg_distill.evaluation.comparison import require
from pyg_distill.evaluation.result import Evaluation, Record, SetRecord
from pyg_distill.evaluation.training import (
    Encoder,
    GraphClassifier,
    LabelledGraphs,
    Readout,
    check_count,
    check_rate,
    predict,
    roc_auc,
    train,
)
from pyg_distill.nn import num_hops

DatasetOrRuns: TypeAlias = (
    Dataset | Sequence[Any] | Callable[[int], Dataset | Sequence[Any]]
)
ModelBuilder: TypeAlias = Callable[[int, int, int], torch.nn.Module]


def evaluate(
    train_sets: DatasetOrRuns | Mapping[str, DatasetOrRuns],
    test: DatasetOrRuns,
    val: DatasetOrRuns,
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
    resume: Evaluation | None = None,
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
    Mini-batches of an epoch are of equal size but for one graph. A set that
    fits into one mini-batch is always trained on as a whole.

    Args:
        train_sets (Dataset or dict): A training set, or several by name. Each
            is a data set or list of graphs (ordinary ones or in tree-set
            form), a list with a data set for each run, or a function of the
            number of the run. A function is called once a run.
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
        resume (Evaluation, optional): An earlier result of the same options.
            Its trainings are not repeated, and are part of the new result.
            (default: :obj:`None`)
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
    check_count(steps=steps, eval_every=eval_every, **sizes)
    check_rate('lr', lr)
    check_rate('weight_decay', weight_decay, zero=True)
    run_ids, builders = _read_runs(runs), _read_models(models)
    pools = _read_readouts(readouts)
    if not isinstance(train_sets, Mapping):
        train_sets = {'train': train_sets}
    if not train_sets:
        raise ValueError(
            "'train_sets' must hold at least one data set (got none); pass "
            "{'full': dataset[train_idx]}"
        )

    def read(dataset: Any, owner: str) -> LabelledGraphs:
        return LabelledGraphs(
            dataset, owner, batch_size, encode, exclude_keys, device
        )

    def read_held_out(dataset: Any, owner: str) -> LabelledGraphs:
        graphs = read(dataset, owner)
        if graphs.label.unique().numel() == 1:
            raise ValueError(
                f"'{owner}' must hold graphs of two classes or more (got "
                f'class {int(graphs.label[0])} alone) for a ROC-AUC; use a '
                f'stratified split, or more graphs'
            )
        return graphs

    sets = {
        str(key): _read_per_run(value, str(key), run_ids, read)
        for key, value in train_sets.items()
    }
    read_val = _read_per_run(val, 'val', run_ids, read_held_out)
    read_test = _read_per_run(test, 'test', run_ids, read_held_out)

    known = () if resume is None else resume.records
    done = {(r.dataset, r.train_set, r.model, r.readout, r.run) for r in known}
    records: list[Record] = []
    set_records: list[SetRecord] = []
    total = len(run_ids) * len(sets) * len(builders) * len(pools)
    progress = tqdm(total=total, desc='Evaluating', disable=not log, delay=1)
    for run, key in product(run_ids, sets):
        todo = [
            (model_name, readout)
            for model_name, readout in product(builders, pools)
            if (name, key, model_name, readout, run) not in done
        ]
        progress.update(len(builders) * len(pools) - len(todo))
        if not todo:
            continue
        parts = sets[key](run), read_val(run), read_test(run)
        train_graphs, val_graphs, test_graphs = parts
        set_records.append(SetRecord(name, key, run, **train_graphs.size))
        in_channels = _num_features(parts, (key, 'val', 'test'))
        num_classes = max(2, *(part.num_classes for part in parts))
        shared: list[Batch] = []
        for model_name, readout in todo:
            start = perf_counter()
            with _seeded(run):
                gnn = builders[model_name](
                    in_channels, hidden_channels, num_layers
                )
                model = GraphClassifier(
                    gnn, hidden_channels, num_classes, readout
                ).to(device)
                if (run, readout) == (run_ids[0], pools[0]):
                    _warn_if_deeper(gnn, model_name, train_graphs, key)
                best = train(
                    model,
                    train_graphs.mini_batches(run, shared),
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
            records.append(
                Record(
                    dataset=name,
                    train_set=key,
                    model=model_name,
                    readout=readout,
                    run=run,
                    accuracy=float((out.argmax(1) == label).double().mean()),
                    auc=roc_auc(label, out),
                    seconds=seconds,
                    **best._asdict(),
                )
            )
            progress.update()
    progress.close()
    used = {**training, **sizes, 'exclude_keys': list(exclude_keys)}
    result = Evaluation(records, set_records, {name: used})
    return result if resume is None else Evaluation.merge([resume, result])


def _read_per_run(
    source: Any,
    name: str,
    runs: Sequence[int],
    read: Callable[[Any, str], LabelledGraphs],
) -> Callable[[int], LabelledGraphs]:
    """A function of the run that reads its data set, and keeps the last."""
    if _is_dataset(source):
        graphs = read(source, name)
        return lambda run: graphs
    is_list = isinstance(source, list | tuple) and len(source) > 0
    if is_list and all(map(_is_dataset, source)):
        if len(source) != len(runs):
            raise ValueError(
                f"'{name}' must hold one data set a run (got {len(source)} "
                f'for {len(runs)} runs); pass one data set for all, or a '
                f'function of the run'
            )
        of_run = dict(zip(runs, source, strict=True)).__getitem__
    elif callable(source) and not isinstance(source, Data):
        of_run = source
    else:
        got = type(source[0] if is_list else source).__name__
        what = f"a list of '{got}'" if is_list else f"'{got}'"
        raise TypeError(
            f"'{name}' must be a data set, a list of them or a function of "
            f'the run (got {what}); pass a slice of a data set, or [data]'
        )
    return lru_cache(1)(lambda run: read(of_run(run), name))


def _is_dataset(value: Any) -> bool:
    return isinstance(value, TorchDataset) or (
        isinstance(value, list | tuple)
        and len(value) > 0
        and isinstance(value[0], Data)
    )


def _read_runs(runs: int | Sequence[int]) -> list[int]:
    if isinstance(runs, int) and not isinstance(runs, bool) and runs > 0:
        return list(range(runs))
    run_ids = [] if isinstance(runs, int | str) else list(runs)
    good = all(isinstance(r, int) and 0 <= r < 2**32 for r in run_ids)
    if not run_ids or not good or len({*run_ids}) < len(run_ids):
        raise ValueError(
            f"'runs' must be the number of runs or a list of different seeds "
            f'(got {runs!r}); pass 5, or [0, 1, 2, 3, 4]'
        )
    return run_ids


def _read_readouts(readouts: Readout | Sequence[Readout]) -> list[Readout]:
    names: list[Any] = [readouts] if isinstance(readouts, str) else [*readouts]
    known = get_args(Readout)
    if not names or not {*names} <= {*known} or len({*names}) < len(names):
        raise ValueError(
            f"'readouts' must be different ones of {', '.join(known)} (got "
            f"{readouts!r}); try ['sum', 'mean']"
        )
    return names


def _read_models(models: Any) -> dict[str, ModelBuilder]:
    if isinstance(models, Mapping):
        named = [(str(name), model) for name, model in models.items()]
    else:
        listed = list(models) if isinstance(models, Sequence) else [models]
        named = [(getattr(m, '__name__', ''), m) for m in listed]
    for _, model in named:
        is_built = not inspect.isclass(model) and hasattr(model, 'forward')
        if is_built or not callable(model):
            raise TypeError(
                f"'models' must hold classes or functions that build a model "
                f"(got a '{type(model).__name__}'), as every run starts anew; "
                f'pass torch_geometric.nn.GIN, or lambda in_channels, '
                f'hidden_channels, num_layers: ...'
            )
    names = [name for name, _ in named]
    if not names or len({*names}) < len(names) or {'', '<lambda>'} & {*names}:
        raise ValueError(
            f"'models' must hold models with different names (got {names}); "
            f"pass a dictionary such as {{'wide GIN': ...}}"
        )
    return dict(named)


def _num_features(parts: Sequence[LabelledGraphs], names: Sequence[str]) -> int:
    width = [part.num_features for part in parts]
    if len({*width}) > 1:
        pairs = zip(width, names, strict=True)
        got = ', '.join(f'{size} in {name!r}' for size, name in pairs)
        raise ValueError(
            f"'x' must be of one width in all data sets (got {got}); make "
            f'them of the same features'
        )
    return width[0]


def _warn_if_deeper(
    gnn: torch.nn.Module, model: str, graphs: LabelledGraphs, name: str
) -> None:
    hops = num_hops(gnn)
    if graphs.depth is not None and hops > graphs.depth:
        warnings.warn(
            f"'{model}' reads {hops} hops, but the trees of '{name}' are "
            f'{graphs.depth} deep, so its embeddings differ from those of '
            f'graphs; distil with num_layers={hops}',
            stacklevel=3,
        )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds Python, NumPy and PyTorch, and restores their states."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            seed_everything(seed)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
