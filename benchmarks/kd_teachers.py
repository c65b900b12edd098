"""How teachers are trained, and what of them students learn from."""

from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from kd_settings import (
    SETTINGS,
    accuracy,
    area,
    build,
    inputs,
    load_graphs,
    load_node,
)
from torch_geometric import seed_everything
from torch_geometric.loader import DataLoader

from pyg_distill.nn import LayerRecorder

# A teacher of more layers shows only so many, evenly spaced, to every method.
MAX_LAYERS = 8


def train_node_teacher(model, data, decay, epochs, patience=100):
    groups = [
        {'params': [p], 'weight_decay': decay if 'convs' in name else 5e-4}
        for name, p in model.named_parameters()
    ]
    args = inputs(data, model)
    optimizer, best, since = torch.optim.Adam(groups, 0.01), (), 0
    for _ in range(epochs):
        optimizer.zero_grad()
        out = model.train()(*args)
        F.cross_entropy(
            out[data.train_mask], data.y[data.train_mask]
        ).backward()
        optimizer.step()
        with torch.no_grad():
            out = model.eval()(*args)
        right = (out.argmax(dim=-1) == data.y).float()
        loss = F.cross_entropy(out[data.val_mask], data.y[data.val_mask])
        result = right[data.val_mask].mean(), -loss
        since += 1
        if not best or result > best:
            best, state, since = result, deepcopy(model.state_dict()), 0
        if since > patience:
            break
    model.load_state_dict(state)
    return model.eval()


def train_graph_teacher(model, data, metric, epochs, batch_size=128):
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    graphs, best = data.to_data_list(), -1.0
    train, val = ([graphs[i] for i in split] for split in data.splits[:2])
    for _ in range(epochs):
        model.train()
        for part in DataLoader(train, batch_size, shuffle=True):
            optimizer.zero_grad()
            out = model(part.x, part.edge_index, part.batch, part.num_graphs)
            F.cross_entropy(out, part.y).backward()
            optimizer.step()
        part = next(iter(DataLoader(val, len(val))))
        with torch.no_grad():
            out = model.eval()(
                part.x, part.edge_index, part.batch, part.num_graphs
            )
        result = float(metric(out.unsqueeze(0), part.y))
        if result > best:
            best, state = result, deepcopy(model.state_dict())
    model.load_state_dict(state)
    return model.eval()


def load(name, root, cache):
    """The data of a setting, and its teacher in evaluation mode."""
    setting = SETTINGS[name]
    graphs = setting.teacher[0] == 'gin'
    if graphs:
        data = load_graphs(root, setting.dataset)
    else:
        data = load_node(root, setting.dataset)
    # Other than in single precision only to check.
    data.x = data.x.to(torch.get_default_dtype())
    num_classes = int(data.y.max()) + 1
    seed_everything(0)
    teacher = build(
        setting.teacher, data.x.size(1), num_classes, setting.dropout
    )
    kind, num_layers, channels = setting.teacher
    path = Path(cache, f'{setting.dataset}-{kind}-{num_layers}x{channels}.pt')
    if path.exists():
        teacher.load_state_dict(torch.load(path))
        return data, teacher.eval()
    if graphs:
        metric = area if setting.dataset == 'molhiv' else accuracy
        train_graph_teacher(teacher, data, metric, setting.epochs)
    else:
        train_node_teacher(teacher, data, setting.decay, setting.epochs)
    torch.save(teacher.state_dict(), path)
    return data, teacher


def record(teacher, inputs):
    recorder = LayerRecorder(teacher, detach=True)
    with torch.no_grad():
        logits = teacher.eval()(*inputs)
    layers = [x.clone() for x in recorder.features()]
    recorder.remove()
    if len(layers) > MAX_LAYERS:
        every = len(layers) // MAX_LAYERS
        layers = layers[every - 1 :: every]
    return layers, logits
