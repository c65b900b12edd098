import json
import random
import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch_geometric import seed_everything
from torch_geometric.data import Data
from torch_geometric.datasets import TUDataset
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GAT, GCN, GIN, GINEConv, GraphSAGE

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.datasets.payload import payload
from pyg_distill.evaluation import OneHot, evaluate
from pyg_distill.nn import global_root_pool

SMALL = {'hidden_channels': 8, 'log': False}


@pytest.fixture(scope='module')
def toy() -> ToyMolecules:
    dataset = ToyMolecules(120)
    dataset._data.y = dataset._data.y.clamp(max=1)
    return without_ties(dataset)


def without_ties(dataset: ToyMolecules) -> ToyMolecules:
    # Equal graphs would be ranked by rounding errors.
    first = dataset.slices['x'][:-1]
    dataset._data.x[first] *= torch.linspace(1, 2, len(dataset)).view(-1, 1)
    return dataset


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def plain_loop(train, val, test, gnn, readout, run, **options) -> dict:
    """One training as one would write it down."""
    train, val, test = (
        [data.clone() for data in part] for part in (train, val, test)
    )
    for data in [*train, *val, *test]:
        data.x = data.x.double()
    seed_everything(run)
    model = gnn(train[0].x.size(1), options['hidden'], 2)
    head = torch.nn.Linear(options['hidden'], options['classes'])
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, options['lr'])

    def forward(data):
        x = model(data.x, data.edge_index)
        roots = data.get('root_index'), data.get('root_count')
        x = global_root_pool(
            x, data.batch, *roots, data.num_graphs, reduce=readout
        )
        return head(x)

    @torch.no_grad()
    def measure(part):
        model.eval()
        data = next(iter(DataLoader(part, batch_size=len(part))))
        out = forward(data)
        model.train()
        prob = out.softmax(dim=-1)
        if out.size(1) == 2:
            auc = roc_auc_score(data.y, prob[:, 1])
        else:
            auc = roc_auc_score(data.y, prob, multi_class='ovr')
        accuracy = (out.argmax(dim=-1) == data.y).double().mean()
        return auc, float(accuracy), float(F.cross_entropy(out, data.y))

    generator = torch.Generator().manual_seed(run)
    size = options['batch_size']
    step, found = 0, []
    while step < options['steps']:
        order = torch.randperm(len(train), generator=generator)
        epoch = [index.tolist() for index in order.split(size)]
        for data in DataLoader(train, batch_sampler=epoch):
            step += 1
            if step > options['steps']:
                break
            optimizer.zero_grad()
            out = forward(data)
            loss = F.cross_entropy(out, data.y, reduction='none')
            if 'weight' in data:
                loss = loss * data.weight
            loss.mean().backward()
            optimizer.step()
            if step % options['every'] == 0 or step == options['steps']:
                auc, _, val_loss = measure(val)
                found.append((-auc, val_loss, step, measure(test)))
    auc, val_loss, step, (test_auc, accuracy, _) = min(found)
    return {
        'val_auc': -auc,
        'val_loss': val_loss,
        'step': step,
        'auc': test_auc,
        'accuracy': accuracy,
    }


@pytest.mark.parametrize('gnn', [GCN, GIN, GAT, GraphSAGE])
@pytest.mark.parametrize('readout', ['sum', 'mean', 'max'])
@pytest.mark.usefixtures('double')
def test_same_as_a_plain_loop(toy, gnn, readout) -> None:
    parts = toy[:60], toy[60:90], toy[90:]
    result = evaluate(
        parts[0],
        test=parts[2],
        val=parts[1],
        models=[gnn],
        readouts=[readout],
        runs=[3],
        steps=15,
        batch_size=20,
        lr=0.01,
        eval_every=4,
        **SMALL,
    )
    (record,) = result.records
    expected = plain_loop(
        parts[0],
        parts[1],
        parts[2],
        gnn,
        readout,
        run=3,
        hidden=8,
        classes=2,
        lr=0.01,
        batch_size=20,
        steps=15,
        every=4,
    )
    assert record.step == expected.pop('step')
    for name, value in expected.items():
        assert getattr(record, name) == pytest.approx(value, abs=1e-9)


@pytest.mark.usefixtures('double')
def test_weighted_tree_sets_of_three_classes() -> None:
    source = ToyMolecules(150)
    train = MirageDataset(
        source[:90], 2, 0.4, max_size=3, exclude_keys=['edge_attr'], log=False
    )[:40]
    dataset = without_ties(source)
    parts = train, dataset[90:120], dataset[120:]
    assert train._data.weight.unique().numel() > 1
    (record,) = evaluate(
        {'mirage': parts[0]},
        test=parts[2],
        val=parts[1],
        models=[GIN],
        readouts=['sum'],
        runs=1,
        steps=9,
        batch_size=64,
        lr=0.01,
        eval_every=3,
        exclude_keys=['edge_attr'],
        **SMALL,
    ).records
    expected = plain_loop(
        *parts,
        GIN,
        'sum',
        run=0,
        hidden=8,
        classes=3,
        lr=0.01,
        batch_size=64,
        steps=9,
        every=3,
    )
    assert record.step == expected.pop('step')
    for name, value in expected.items():
        assert getattr(record, name) == pytest.approx(value, abs=1e-9)


def test_real_data(real_dataset: Callable[..., TUDataset]) -> None:
    mutag = real_dataset('MUTAG')
    order = torch.randperm(len(mutag), generator=torch.Generator())
    parts = [mutag[order[a:b]] for a, b in [(0, 130), (130, 160), (160, 188)]]
    result = evaluate(
        {
            'full': parts[0],
            'mirage': MirageDataset(
                parts[0], 2, 0.3, exclude_keys=['edge_attr'], log=False
            ),
        },
        test=parts[2],
        val=parts[1],
        models=[GIN],
        readouts=['sum'],
        runs=1,
        steps=100,
        lr=0.01,
        exclude_keys=['edge_attr'],
        log=False,
    )
    full, mirage = result.records
    assert full.val_auc > 0.8
    assert mirage.val_auc > 0.7
    assert [s.num_bytes for s in result.set_records] == [
        payload(parts[0], ['edge_attr']).num_bytes,
        parts_report(result, 'mirage'),
    ]


def parts_report(result, name: str) -> int:
    (size,) = [s for s in result.set_records if s.train_set == name]
    assert size.seconds > 0
    assert size.packed_bytes is None or size.packed_bytes > 0
    return size.num_bytes


def test_sets_that_change_with_the_run(toy) -> None:
    asked = []

    def draw(run: int):
        asked.append(run)
        return toy[10 * run : 10 * run + 20]

    options = {'models': [GIN], 'readouts': ['sum'], 'steps': 2, **SMALL}
    result = evaluate(
        {'draw': draw, 'list': [toy[:10], toy[10:40]]},
        test=lambda run: toy[80 + run :],
        val=[toy[60:80], toy[61:80]],
        runs=[2, 5],
        **options,
    )
    assert asked == [2, 5]
    sizes = {(s.train_set, s.run): s.num_graphs for s in result.set_records}
    assert sizes == {
        ('draw', 2): 20,
        ('list', 2): 10,
        ('draw', 5): 20,
        ('list', 5): 30,
    }
    for i, run in enumerate([2, 5]):
        alone = evaluate(
            toy[10 * run : 10 * run + 20],
            test=toy[80 + run :],
            val=toy[60 + i : 80],
            runs=[run],
            **options,
        ).records[0]
        (same,) = [
            r for r in result.records if (r.train_set, r.run) == ('draw', run)
        ]
        assert (alone.auc, alone.val_loss) == (same.auc, same.val_loss)


def test_repeats_itself_and_leaves_random_states_alone(toy) -> None:
    def call():
        return evaluate(
            toy[:30],
            test=toy[60:],
            val=toy[30:60],
            models=[GIN],
            runs=1,
            steps=5,
            batch_size=10,
            **SMALL,
        ).records

    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    first = call()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2][1])
    torch.rand(3)
    assert [r.val_loss for r in first] == [r.val_loss for r in call()]
    assert first[0].val_loss != first[1].val_loss


class WithEdges(torch.nn.Module):
    def __init__(self, in_channels, hidden_channels, num_layers) -> None:
        super().__init__()
        channels = [in_channels] + [hidden_channels] * num_layers
        self.convs = torch.nn.ModuleList(
            GINEConv(torch.nn.Linear(a, b), edge_dim=4)
            for a, b in pairwise(channels)
        )

    def forward(self, x, edge_index, edge_attr=None):
        for conv in self.convs:
            x = conv(x, edge_index, edge_attr).relu()
        return x


def test_custom_models_may_read_edges(toy) -> None:
    result = evaluate(
        toy[:30],
        test=toy[60:],
        val=toy[30:60],
        models={
            'edges': WithEdges,
            'GAT': lambda i, h, n: GAT(i, h, n, edge_dim=4),
            'blind': GAT,
        },
        readouts='mean',
        runs=1,
        steps=3,
        **SMALL,
    )
    loss = {r.model: r.val_loss for r in result.records}
    assert set(loss) == {'edges', 'GAT', 'blind'}
    assert loss['GAT'] != loss['blind']


def test_graphs_without_features_get_ones() -> None:
    def ring(size: int, y: int, x: torch.Tensor | None = None) -> Data:
        node = torch.arange(size)
        edge = torch.stack([node, node.roll(1)])
        edge_index = torch.cat([edge, edge.flip(0)], dim=1)
        y = torch.tensor([[float(y)]])  # As in OGB.
        return Data(x=x, edge_index=edge_index, y=y, num_nodes=size)

    def rings(make) -> list[Data]:
        return [ring(3 + i % 7, i % 2, make(3 + i % 7)) for i in range(20)]

    options = {'models': [GIN], 'runs': 1, 'steps': 3, **SMALL}
    losses = []
    for make in (
        lambda size: None,
        lambda size: torch.ones(size, 1),
        lambda size: torch.zeros(size, 1),
    ):
        graphs = rings(make)
        result = evaluate(graphs, test=graphs, val=graphs, **options)
        losses.append(result.records[0].val_loss)
    assert losses[0] == losses[1] != losses[2]


def test_codes_are_encoded() -> None:
    toy = ToyMolecules(100, seed=1)
    coded = [data.clone() for data in toy]
    for data in coded:
        data.x = data.x.argmax(dim=1, keepdim=True)
    found = [
        evaluate(
            graphs[:40],
            test=graphs[80:],
            val=graphs[40:80],
            models=[GIN, GCN],
            readouts=['sum'],
            runs=1,
            steps=4,
            batch_size=15,
            encode=encode,
            **SMALL,
        )
        for graphs, encode in [(toy, None), (coded, OneHot(coded))]
    ]
    for one, other in zip(*(f.records for f in found), strict=True):
        assert one.val_loss == pytest.approx(other.val_loss, abs=1e-5)


def test_shallow_trees_are_warned_of(toy) -> None:
    train = MirageDataset(toy[:60], 2, 0.4, max_size=2, log=False)
    with pytest.warns(UserWarning, match="'GCN' reads 3 hops"):
        evaluate(
            {'trees': train},
            test=toy[90:],
            val=toy[60:90],
            models=[GCN, GIN],
            runs=1,
            steps=1,
            **SMALL,
        )


def test_progress_can_be_silenced(toy, capsys) -> None:
    call = {'models': [GIN], 'runs': 1, 'steps': 1, **SMALL}
    evaluate(toy[:30], test=toy[30:], val=toy[30:], **call)
    out = capsys.readouterr()
    assert out.out == out.err == ''


def test_scikit_learn_is_asked_for(toy, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'sklearn.metrics', None)
    with pytest.raises(ImportError, match=r'"pyg-distill\[evaluation\]"'):
        evaluate(toy, test=toy, val=toy)


def test_result_is_ready_for_json(toy) -> None:
    result = evaluate(
        toy[:30],
        test=toy[60:],
        val=toy[30:60],
        models=[GIN],
        runs=1,
        steps=1,
        name='toy',
        **SMALL,
    )
    values = json.loads(json.dumps(result.to_dict()))
    assert type(result).from_dict(values).to_dict() == result.to_dict()
    assert values['options']['toy']['lr'] == 0.001
