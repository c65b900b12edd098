from functools import partial
from itertools import permutations

import pytest
import torch
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    MLP,
    GINConv,
    GraphConv,
    GraphSAGE,
    PairNorm,
)

from pyg_distill.datasets import ToyMolecules
from pyg_distill.evaluation import evaluate
from pyg_distill.evaluation.cross.classifier import GraphClassifier
from pyg_distill.evaluation.cross.graph_table import GraphTable
from pyg_distill.evaluation.cross.tree_readers import reads_trees
from pyg_distill.evaluation.cross.views import Views

TOY = ToyMolecules(60)


class Later(torch.nn.Module):
    """Mixes the nodes of a batch as soon as it has learned to."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x.relu() + self.scale * x.mean(dim=0)


class Centred(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = PairNorm()

    def forward(self, x):
        return self.norm(x.relu())


def with_conv(channels: int, hidden: int, layers: int, conv=None) -> GIN:
    gnn = GIN(channels, hidden, layers)
    gnn.convs[1] = conv or GINConv(MLP([hidden] * 3))
    return gnn


# Their parts are known, but they read edges the other way round.
backward = partial(GIN, flow='target_to_source')


@pytest.mark.parametrize(
    'build',
    [
        *(GCN, GIN, GAT, GraphSAGE),
        *(partial(GIN, act=act) for act in ('elu', 'PReLU', None, torch.relu)),
        partial(GIN, aggr='max'),
        partial(GraphSAGE, jk='cat'),
        partial(GAT, v2=True, edge_dim=4, heads=2),
        partial(with_conv, conv=GINConv(MLP([16, 16], norm=None))),
    ],
)
def test_known_parts(build) -> None:
    assert reads_trees(build(9, 16, 2))


@pytest.mark.parametrize(
    'build',
    [
        *(partial(GIN, act=act) for act in (Later(), Centred(), 'rrelu')),
        partial(GIN, act=lambda x: x - x.mean(dim=0)),
        partial(GIN, act='softmax', act_kwargs={'dim': 0}),
        partial(GIN, aggr='softmax'),
        partial(GraphSAGE, aggr='lstm'),
        partial(GAT, dropout=0.5),
        partial(GCN, norm='batch_norm'),
        with_conv,  # An MLP has batch norm by default.
        partial(with_conv, conv=GraphConv(16, 16)),
        partial(with_conv, conv=GINConv(MLP([16, 16], act=Later(), norm=None))),
        partial(
            with_conv,
            conv=GINConv(MLP([16, 16], act=lambda x: x, norm=None)),
        ),
    ],
)
def test_unknown_parts(build) -> None:
    assert not reads_trees(build(9, 16, 2))


def test_norms_of_a_single_layer_are_in_its_mlp() -> None:
    gnn = GIN(9, 16, 1, norm='batch_norm')
    assert {type(norm) for norm in gnn.norms} == {torch.nn.Identity}
    assert not reads_trees(gnn)


def test_each_model_is_compared_with_graphs() -> None:
    table = GraphTable.read(TOY, 'data', exclude_keys=['edge_attr'])
    for order in permutations([GIN, backward]):
        view = Views(table, batch_size=60)
        for build in order:
            model = GraphClassifier(build(9, 16, 2), 16, 3, 'sum')
            # All that their text tells is the same.
            assert repr(model.gnn) == 'GIN(9, 16, num_layers=2)'
            assert (view.take(model) == table.take) == (build is backward)
            is_plain = view.chunks(model)[0].batch is not None
            assert is_plain == (build is backward)


def test_tables_are_shared_by_models() -> None:
    table = GraphTable.read(TOY, 'data', exclude_keys=['edge_attr'])
    view = Views(table, batch_size=60)
    found = [
        view.take(GraphClassifier(build(9, 16, 2), 16, 3, readout)).__self__
        for build, readout in [(GIN, 'sum'), (GAT, 'max'), (GraphSAGE, 'mean')]
    ]
    assert found[0] is found[1] is found[2]


def test_results_do_not_depend_on_other_models() -> None:
    def call(names) -> dict:
        result = evaluate(
            TOY[:20],
            test=TOY[40:],
            val=TOY[20:40],
            models={name: models[name] for name in names},
            readouts=['sum'],
            runs=1,
            steps=8,
            lr=0.01,
            hidden_channels=8,
            eval_every=2,
            exclude_keys=['edge_attr'],
            log=False,
        )
        return {r.model: (r.auc, r.val_loss, r.step) for r in result.records}

    models = {
        'relu': GIN,
        'centred': lambda i, h, n: GIN(i, h, n, act=Centred()),
        'backward': backward,
    }
    alone = {name: call([name])[name] for name in models}
    for names in permutations(models):
        assert call(names) == alone
