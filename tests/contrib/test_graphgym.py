"""GraphGym trains on what is distilled, and tests on what is not."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_add_pool

from pyg_distill.contrib import graphgym, register_graphgym
from pyg_distill.datasets import MirageDataset, ToyMolecules

TOY = ToyMolecules(60)


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'yacs', None)
    with pytest.raises(ImportError, match="'yacs' must be installed"):
        register_graphgym()


def test_other_labels_have_other_losses() -> None:
    assert graphgym.weighted_loss(torch.zeros(2), torch.zeros(2)) is None


@pytest.mark.parametrize('num_classes', [1, 3])
def test_loss_is_weighted(num_classes: int) -> None:
    true, weight = torch.tensor([0, 1, 1, 0]), torch.rand(4)
    true.weight = weight  # type: ignore[attr-defined]
    pred = torch.randn(4, num_classes).squeeze(-1)
    out = graphgym.weighted_loss(pred, true)
    assert out is not None
    loss, score = out
    total = 0.0
    for p, t, w in zip(pred, true, weight, strict=True):
        of_class = p.softmax(0)[t] if num_classes > 1 else p.sigmoid()
        hit = t if num_classes == 1 else 1
        prob = of_class if hit else 1 - of_class
        total -= float(w * prob.log())
    torch.testing.assert_close(float(loss), total / 4, rtol=1e-5, atol=1e-6)
    want = F.log_softmax(pred, -1) if num_classes > 1 else pred.sigmoid()
    torch.testing.assert_close(score, want)


@pytest.fixture
def cfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip('yacs')
    pytest.importorskip('lightning')
    monkeypatch.setattr(graphgym, 'ToyMolecules', lambda: TOY)
    register_graphgym()
    register_graphgym()  # A second time changes nothing.
    from torch_geometric.graphgym.config import cfg, set_cfg

    set_cfg(cfg)
    cfg.accelerator = 'cpu'
    cfg.out_dir = cfg.run_dir = str(tmp_path)
    cfg.params = 0
    cfg.dataset.format, cfg.dataset.name = 'Mirage', 'ToyMolecules'
    cfg.dataset.task, cfg.dataset.task_type = 'graph', 'classification'
    cfg.gnn.head, cfg.gnn.layer_type = 'mirage', 'ginconv'
    cfg.gnn.dim_inner, cfg.gnn.batchnorm = 8, False
    cfg.train.enable_ckpt = False
    cfg.optim.max_epoch = 2
    cfg.mirage.budget = 0.3
    yield cfg
    set_cfg(cfg)


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    ('selection', 'kwargs'),
    [('herding', {}), ('multisets', {}), ('frequent', {'multiplicity': 'one'})],
)
def test_trains(cfg: Any, selection: str, kwargs: dict) -> None:
    from torch_geometric.graphgym.model_builder import create_model
    from torch_geometric.graphgym.train import GraphGymDataModule, train

    cfg.mirage.selection = selection
    cfg.mirage.selection_kwargs.update(kwargs)
    module = GraphGymDataModule()
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    distilled = MirageDataset(
        TOY[order[:48]],
        cfg.gnn.layers_mp,
        budget=0.3,
        selection=selection,
        selection_kwargs=kwargs,
        exclude_keys=['edge_attr'],
    )
    kept, *held_out = (loader.dataset for loader in module.loaders)
    assert len(kept) == len(distilled)
    for data, want in zip(kept, distilled, strict=True):
        for key in data.keys():
            assert torch.equal(data[key], want[key]), key
    for part, index in zip(held_out, (order[48:54], order[54:]), strict=True):
        for data, want in zip(part, TOY[index], strict=True):
            for key in ('x', 'edge_index', 'y'):
                assert torch.equal(data[key], want[key]), key
            assert torch.equal(data.root_index, torch.arange(data.num_nodes))
            assert data.root_count.tolist() == [1] * data.num_nodes
            assert data.weight.tolist() == [1.0]

    model = create_model()
    before = [p.clone() for p in model.parameters()]
    options = {
        'enable_progress_bar': False,
        'enable_model_summary': False,
        'logger': False,
    }
    train(model, module, logger=True, trainer_config=options)
    assert (Path(cfg.run_dir) / 'test' / 'stats.json').exists()
    assert any(
        not torch.equal(p, old)
        for p, old in zip(model.parameters(), before, strict=True)
    )


@pytest.mark.filterwarnings('ignore')
def test_head_is_the_ordinary_one_on_graphs(cfg: Any) -> None:
    from torch_geometric.graphgym.register import head_dict

    cfg.model.graph_pooling = 'add'
    head = head_dict['mirage'](4, 3)
    assert head.pooling_fun is global_add_pool
    ordinary = head_dict['graph'](4, 3)
    ordinary.load_state_dict(head.state_dict())
    (batch,) = DataLoader(TOY[:5], batch_size=5)
    batch.x, batch.weight = torch.randn(batch.num_nodes, 4), torch.ones(5)
    pred, true = head(batch.clone())
    want, label = ordinary(batch)
    torch.testing.assert_close(pred, want)
    assert torch.equal(true, label)


def test_other_formats_and_heads(cfg: Any) -> None:
    assert graphgym.load_distilled('PyG', 'TU_NCI1', '') is None
    cfg.gnn.head = 'graph'
    with pytest.raises(ValueError, match="must be 'mirage', which pools the"):
        graphgym.load_distilled('Mirage', 'ToyMolecules', '')
