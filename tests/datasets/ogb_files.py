"""Writes molecules as OGB does, and reads nothing."""

import gzip
from pathlib import Path

import torch


def write_ogb(folder: Path, num_graphs: int = 60, num_tasks: int = 1) -> list:
    """Random molecules in the files of a data set; returns them as lists."""
    generator = torch.Generator().manual_seed(0)

    def draw(high: int, *size: int) -> list:
        return torch.randint(high, size, generator=generator).tolist()

    molecules = []
    for i in range(num_graphs):
        atoms, bonds = draw(4, 1)[0] + 2, draw(4, 1)[0]
        molecule = {
            'x': draw(5, atoms, 9),
            'edge': draw(atoms, bonds, 2),
            'edge_attr': draw(3, bonds, 3),
            'y': [(i + t) % 2 for t in range(num_tasks)],
        }
        molecules.append(molecule)
    molecules[-1]['y'][-1] = '' if num_tasks > 1 else 1
    split = {
        'train': range(num_graphs // 2),
        'valid': range(num_graphs // 2, num_graphs - 10),
        'test': range(num_graphs - 10, num_graphs),
    }
    files = {
        'raw/node-feat': [row for m in molecules for row in m['x']],
        'raw/edge': [row for m in molecules for row in m['edge']],
        'raw/edge-feat': [row for m in molecules for row in m['edge_attr']],
        'raw/num-node-list': [[len(m['x'])] for m in molecules],
        'raw/num-edge-list': [[len(m['edge'])] for m in molecules],
        'raw/graph-label': [m['y'] for m in molecules],
    }
    files |= {
        f'split/scaffold/{name}': [[i] for i in index]
        for name, index in split.items()
    }
    for name, rows in files.items():
        path = folder / f'{name}.csv.gz'
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [','.join(map(str, row)) + '\n' for row in rows]
        path.write_bytes(gzip.compress(''.join(lines).encode()))
    return molecules
