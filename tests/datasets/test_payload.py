import pytest
import torch
from torch_geometric.data import Data

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.datasets.payload import payload
from pyg_distill.datasets.report import Size

TOY = ToyMolecules(30)


def by_hand(graphs) -> Size:
    num_bytes = sum(
        len(value.reshape(-1).tolist())
        * torch.empty(0, dtype=value.dtype).element_size()
        for data in graphs
        for value in data.to_dict().values()
        if isinstance(value, torch.Tensor)
    )
    return Size(
        len(graphs),
        sum(data.num_nodes for data in graphs),
        sum(data.num_edges for data in graphs),
        num_bytes,
    )


def test_graphs_slices_and_lists() -> None:
    for dataset in (TOY, TOY[5:9], TOY[[3, 3, 1]], [*TOY[4:7]]):
        assert payload(dataset) == by_hand([*dataset])
    subset = torch.utils.data.Subset(TOY, [2, 5])
    assert payload(subset) == by_hand([TOY[2], TOY[5]])


def test_distilled_sets_and_their_sources() -> None:
    source = TOY[:20]
    distilled = MirageDataset(source, 2, 0.4, max_size=3, log=False)
    assert payload(distilled) == distilled.report.distilled
    assert payload(distilled[:3]) == by_hand([*distilled[:3]])
    assert payload(source) == distilled.report.source
    assert payload([*distilled]) == payload(distilled)
    blind = MirageDataset(
        source, 2, 0.4, max_size=3, exclude_keys=['edge_attr'], log=False
    )
    assert payload(source, ['edge_attr']) == blind.report.source


def test_graphs_without_features_and_scalars() -> None:
    edge_index = torch.tensor([[0, 1], [1, 0]])
    graphs = [Data(edge_index=edge_index, y=torch.tensor(0), num_nodes=4)] * 3
    # Four numbers of edges and a label of eight bytes each.
    assert payload(graphs) == Size(3, 12, 6, 3 * 5 * 8)


def test_transforms_count() -> None:
    dataset = ToyMolecules(
        5,
        transform=lambda data: Data(
            x=data.x.half(), edge_index=data.edge_index, y=data.y
        ),
    )
    assert payload(dataset) == by_hand([*dataset])


def test_errors() -> None:
    with pytest.raises(TypeError, match="'dataset' must be a data set"):
        payload(TOY[0])
    with pytest.raises(TypeError, match="'exclude_keys' must be a list"):
        payload(TOY, 'edge_attr')
    with pytest.raises(ValueError, match='at least one graph'):
        payload(TOY[:0])
    odd = TOY[1].clone()
    odd.color = torch.tensor([1])
    with pytest.raises(ValueError, match=r'graph 1 differs .* in color'):
        payload([TOY[0], odd])
