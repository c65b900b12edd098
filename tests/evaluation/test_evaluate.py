import random
import sys

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch_geometric import seed_everything
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    PNA,
    GINEConv,
    GraphSAGE,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)
from torch_geometric.transforms import ToSparseTensor

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.evaluation import Evaluation, OneHot, evaluate
from pyg_distill.transforms import ToComputationTrees

POOLS = {
    'sum': global_add_pool,
    'mean': global_mean_pool,
    'max': global_max_pool,
}


def toy_graphs(num_graphs: int, two_classes: bool = True) -> list[Data]:
    graphs = [data.clone() for data in ToyMolecules(num_graphs)]
    for i, data in enumerate(graphs):
        # Equal graphs would be ranked by rounding errors.
        data.x[0] *= 1 + i / num_graphs
        data.y = data.y.clamp(max=1) if two_classes else data.y
    return graphs


TOY = toy_graphs(120)


def call(train_sets, **kwargs) -> Evaluation:
    options = {
        'test': TOY[90:],
        'val': TOY[60:90],
        'models': [GIN],
        'readouts': ['sum'],
        'runs': 1,
        'steps': 4,
        'hidden_channels': 8,
        'log': False,
    }
    return evaluate(train_sets, **(options | kwargs))


def scores(result: Evaluation, **kwargs) -> list[tuple[float, float, int]]:
    return [
        (r.auc, r.val_loss, r.step)
        for r in result.records
        if all(getattr(r, key) == value for key, value in kwargs.items())
    ]


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def plain_loop(parts, gnn, readout, run, classes, batch_size, steps) -> dict:
    """One training as one would write it down."""
    train, val, test = ([data.clone() for data in part] for part in parts)
    for data in [*train, *val, *test]:
        data.x = data.x.double()
    seed_everything(run)
    model, head = gnn(9, 8, 2), torch.nn.Linear(8, classes)
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, 0.01)

    def forward(data):
        x, batch = model(data.x, data.edge_index), data.batch
        if 'root_index' in data:
            index = data.root_index.repeat_interleave(data.root_count)
            x, batch = x[index], batch[index]
        return head(POOLS[readout](x, batch))

    @torch.no_grad()
    def measure(part):
        model.eval()
        data = next(iter(DataLoader(part, batch_size=len(part))))
        out = forward(data)
        model.train()
        prob = out.softmax(dim=-1)
        if classes == 2:
            auc = roc_auc_score(data.y, prob[:, 1])
        else:
            auc = roc_auc_score(data.y, prob, multi_class='ovr')
        accuracy = (out.argmax(dim=-1) == data.y).double().mean()
        return auc, float(accuracy), float(F.cross_entropy(out, data.y))

    generator = torch.Generator().manual_seed(run)
    step, found = 0, []
    while step < steps:
        order = torch.randperm(len(train), generator=generator)
        epoch = [index.tolist() for index in order.split(batch_size)]
        for data in DataLoader(train, batch_sampler=epoch):
            step += 1
            if step > steps:
                break
            optimizer.zero_grad()
            log_prob = forward(data).log_softmax(dim=-1)
            target = F.one_hot(data.y, classes).double()
            if 'target' in data:
                target = data.target.double()
            loss = -(target * log_prob).sum(dim=-1)
            if 'weight' in data:
                loss = loss * data.weight
            loss.mean().backward()
            optimizer.step()
            if step % 4 == 0 or step == steps:
                auc, _, val_loss = measure(val)
                found.append((-auc, val_loss, step, measure(test)))
    auc, val_loss, step, (test_auc, accuracy, _) = min(found)
    out = {'val_auc': -auc, 'val_loss': val_loss, 'step': step}
    return out | {'auc': test_auc, 'accuracy': accuracy}


def check_against_plain_loop(parts, gnn, readout, classes) -> None:
    (record,) = evaluate(
        parts[0],
        val=parts[1],
        test=parts[2],
        models=[gnn],
        readouts=[readout],
        runs=[3],
        steps=15,
        batch_size=20,
        lr=0.01,
        eval_every=4,
        hidden_channels=8,
        exclude_keys=['edge_attr'],
        log=False,
    ).records
    expected = plain_loop(parts, gnn, readout, 3, classes, 20, 15)
    assert record.step == expected.pop('step')
    for name, value in expected.items():
        assert getattr(record, name) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize('gnn', [GCN, GIN, GAT, GraphSAGE])
@pytest.mark.parametrize('readout', ['sum', 'mean', 'max'])
@pytest.mark.usefixtures('double')
def test_same_as_a_plain_loop(gnn, readout: str) -> None:
    parts = TOY[:60], TOY[60:90], TOY[90:]
    check_against_plain_loop(parts, gnn, readout, 2)


def tree_sets(graphs: list[Data], depth: int, target: bool) -> list[Data]:
    """Items like those of a distilled set."""
    transform = ToComputationTrees(depth, exclude_keys=['edge_attr'])
    out = [transform(data) for data in graphs]
    for i, data in enumerate(out):
        data.weight = torch.tensor([0.5 + i / len(out)])
        data.support = torch.tensor([1])
        if target:
            data.target = torch.rand(1, 3).softmax(dim=-1)
    return out


@pytest.mark.parametrize('target', [False, True])
@pytest.mark.usefixtures('double')
def test_weighted_tree_sets_of_three_classes(target: bool) -> None:
    graphs = toy_graphs(150, two_classes=False)
    train = tree_sets(graphs[:60], 2, target)
    check_against_plain_loop(
        (train, graphs[90:120], graphs[120:]), GIN, 'sum', 3
    )


@pytest.mark.parametrize('gnn', [GIN, GAT])
@pytest.mark.parametrize('readout', ['sum', 'mean', 'max'])
@pytest.mark.usefixtures('double')
@pytest.mark.filterwarnings('error:.*hops')
def test_tree_sets_train_like_their_graphs(gnn, readout: str) -> None:
    options = {'models': [gnn], 'readouts': [readout], 'steps': 8}
    options |= {'exclude_keys': ['edge_attr', 'weight'], 'batch_size': 15}
    whole = [data.clone() for data in TOY[:30]]
    for data in whole:  # As a distilled set stores them.
        data.root_index = torch.arange(data.num_nodes)
        data.root_count = torch.ones_like(data.root_index)
        data.num_layers = torch.tensor([1])
    train_sets = {
        'graphs': TOY[:30],
        'whole': whole,
        'trees': tree_sets(TOY[:30], 2, target=False),
    }
    graphs, *others = scores(call(train_sets, **options))
    for other in others:
        assert other == pytest.approx(graphs, abs=1e-9)


def test_real_data(real_dataset) -> None:
    mutag = real_dataset('MUTAG')
    order = torch.randperm(len(mutag), generator=torch.Generator())
    train, val, test = (mutag[i] for i in order.split([130, 30, 28]))
    result = call(train, test=test, val=val, steps=100, lr=0.01)
    assert result.records[0].val_auc > 0.8
    (size,) = result.set_records
    assert size.num_nodes == sum(data.num_nodes for data in train)
    assert size.num_bytes == sum(
        value.nbytes for data in train for value in data.to_dict().values()
    )


def test_sets_that_change_with_the_run() -> None:
    asked = []

    def draw(run: int) -> list[Data]:
        asked.append(run)
        return TOY[10 * run : 10 * run + 20]

    result = call(draw, test=lambda run: TOY[80 + run :], runs=[2, 5])
    assert asked == [2, 5]
    for run in (2, 5):
        alone = call(draw(run), test=TOY[80 + run :], runs=[run])
        assert scores(alone) == scores(result, run=run)


def test_draws_are_the_same_for_all_training_sets_of_a_run() -> None:
    def draw(run: int) -> list[Data]:
        return random.sample(TOY[60:], 30)

    sets = {'one': TOY[:20], 'other': TOY[:20]}
    result = call(sets, runs=[4, 2], test=draw, val=draw)
    other = scores(result, train_set='other')
    assert scores(result, train_set='one') == other


@pytest.mark.parametrize('name', ['test', 'val', 'train'])
def test_a_name_does_not_change_what_is_trained_on(name: str) -> None:
    result = call({'other': TOY[:20], name: TOY[:20]}, runs=2)
    other = scores(result, train_set='other')
    assert scores(result, train_set=name) == other
    # A training set may be of one class.
    call({name: [data for data in TOY[:20] if int(data.y) == 1]})


def test_results_do_not_depend_on_other_models() -> None:
    models = {'gin': GIN, 'dropout': lambda i, h, n: GIN(i, h, n, dropout=0.5)}
    options = {'batch_size': 7, 'steps': 9, 'eval_every': 2}
    both = call(TOY[:20], models=models, **options)
    for name, model in models.items():
        alone = call(TOY[:20], models={name: model}, **options)
        assert scores(alone) == scores(both, model=name)


def test_repeats_itself_and_changes_nothing_else(capsys) -> None:
    options = {'batch_size': 10, 'readouts': ['sum', 'mean']}
    state = torch.get_rng_state()
    first = scores(call(TOY[:30], **options))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert first == scores(call(TOY[:30], **options))
    assert first[0] != first[1]
    assert capsys.readouterr() == ('', '')


def with_edges(channels, hidden, num_layers, edge_dim=4) -> GINEConv:
    return GINEConv(torch.nn.Linear(channels, hidden), edge_dim=edge_dim)


def test_custom_models_may_read_edges() -> None:
    options = {'aggregators': ['sum'], 'scalers': ['identity']}
    options['deg'] = torch.tensor([0, 1])
    models = {
        'edges': with_edges,
        'GAT': lambda i, h, n: GAT(i, h, n, edge_dim=4),
        'blind': GAT,
        # It fails if it gets edge features without `edge_dim`.
        'PNA': lambda i, h, n: PNA(i, h, n, **options),
    }
    result = call(TOY[:30], models=models, readouts='mean')
    loss = {r.model: r.val_loss for r in result.records}
    assert loss.keys() == models.keys()
    assert loss['GAT'] != loss['blind']


@pytest.mark.parametrize('size', [(), (1,), (2, 3)])
@pytest.mark.parametrize('build', [with_edges, GAT])
def test_batches_without_edges(build, size: tuple[int, ...]) -> None:
    edge_dim = torch.Size(size).numel()
    graphs = [
        Data(
            x=torch.randn(2, 3),
            edge_index=torch.tensor([[0, 1], [1, 0]])[:, :num_edges],
            edge_attr=torch.randint(3, (num_edges, *size)),
            y=torch.tensor([i % 2]),
        )
        for i, num_edges in enumerate([0] * 8 + [2] * 4)
    ]
    call(
        graphs[:8],
        test=graphs[:8],
        val=graphs[4:],
        models={'m': lambda i, h, n: build(i, h, n, edge_dim=edge_dim)},
        batch_size=2,
    )


def test_graphs_without_features_get_ones() -> None:
    losses = []
    for make in (None, torch.ones, torch.zeros):
        graphs = [data.clone() for data in TOY]
        for data in graphs:
            data.num_nodes = data.num_nodes
            data.x = make and make(data.num_nodes, 1)
            data.y = data.y.float().view(1, 1)  # As in OGB.
        result = call(graphs[:20], test=graphs[90:], val=graphs[60:90])
        losses.append(result.records[0].val_loss)
    assert losses[0] == losses[1] != losses[2]


def test_codes_are_encoded() -> None:
    coded = [data.clone() for data in TOY]
    for data in coded:
        data.x = data.x.argmax(dim=1, keepdim=True)
    encode = OneHot(coded)
    plain = [data.clone().update({'x': encode(data.x)}) for data in coded]
    one, other = (
        scores(call(graphs[:20], test=graphs[90:], val=graphs[60:90], **kwargs))
        for graphs, kwargs in [(plain, {}), (coded, {'encode': encode})]
    )
    # Equal trees are merged in another order.
    assert one[0] == pytest.approx(other[0], abs=1e-5)


def test_sparse_adjacencies_are_edges() -> None:
    to_sparse = ToSparseTensor(layout=torch.sparse_csr)
    found = []
    for change in (lambda data: data, to_sparse):
        graphs = []
        for data in TOY:  # Directed.
            edge_index = data.edge_index[:, data.edge_index[0] > 0]
            plain = Data(x=data.x, edge_index=edge_index, y=data.y)
            graphs.append(change(plain))
        result = call(graphs[:20], test=graphs[90:], val=graphs[60:90])
        found.append(result.records[0].val_loss)
    assert 'edge_index' not in graphs[0]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_shallow_trees_cause_a_warning() -> None:
    train = tree_sets(TOY[:20], 2, target=False)
    options = {'models': [GCN, GIN], 'exclude_keys': ['edge_attr']}
    with pytest.warns(UserWarning, match="'GCN' reads 3 hops") as found:
        call({'trees': train}, **options)
    assert len(found) == 1


def test_a_report_counts_for_the_set_that_it_describes() -> None:
    options = {'exclude_keys': ['edge_attr'], 'log': False}
    stored = MirageDataset(ToyMolecules(60), 2, budget=0.5, **options)
    size, part = call(
        {'stored': stored, 'part': stored[1:]},
        steps=1,
        exclude_keys=['edge_attr'],
    ).set_records
    report = stored.report
    assert size.compressed_bytes == report.compressed_bytes > 0
    assert size.seconds == report.seconds
    assert size.num_graphs == report.distilled.num_graphs
    assert part.compressed_bytes is part.seconds is None


def test_missing_scikit_learn(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'sklearn.metrics', None)
    with pytest.raises(ImportError, match=r'"pyg-distill\[evaluation\]"'):
        call(TOY[:20])
