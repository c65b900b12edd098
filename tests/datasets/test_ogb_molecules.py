from pathlib import Path

import pytest
import torch

from pyg_distill.datasets.ogb_molecules import OGBMolecules
from tests.datasets.ogb_files import write_ogb


@pytest.mark.parametrize('num_tasks', [1, 3])
def test_same_as_the_files(tmp_path: Path, num_tasks: int) -> None:
    molecules = write_ogb(tmp_path, num_tasks=num_tasks)
    dataset = OGBMolecules(tmp_path)
    assert len(dataset) == len(molecules)
    for data, molecule in zip(dataset, molecules, strict=True):
        data.validate()
        assert data.x.dtype == data.edge_attr.dtype == torch.long
        assert data.x.tolist() == molecule['x']
        there = [[a, b] for a, b in molecule['edge']]
        back = [[b, a] for a, b in molecule['edge']]
        assert data.edge_index.t().tolist() == there + back
        assert data.edge_attr.tolist() == molecule['edge_attr'] * 2
        y = [-1 if value == '' else value for value in molecule['y']]
        assert data.y.tolist() == (y if num_tasks == 1 else [y])
    split = dataset.get_idx_split()
    assert {name: len(index) for name, index in split.items()} == {
        'train': 30,
        'valid': 20,
        'test': 10,
    }
    assert torch.cat([*split.values()]).tolist() == list(range(60))


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'folder' must be an unpacked data"):
        OGBMolecules(tmp_path / 'nowhere')
    write_ogb(tmp_path)
    other = tmp_path / 'other'
    write_ogb(other, num_graphs=61)
    path = Path('raw', 'node-feat.csv.gz')
    (tmp_path / path).write_bytes((other / path).read_bytes())
    with pytest.raises(ValueError, match=r"'node-feat.csv.gz' must have \d+"):
        OGBMolecules(tmp_path)
