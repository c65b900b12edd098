"""Graphs and tree sets <-> the bytes that budgets measure and caches hold.

Integers take the narrowest type that fits them, equal rows of features are
stored once, and so are equal trees. All columns then go through one pass of
DEFLATE, from Python's :mod:`zlib`.
"""

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.data.attributes import FEATURES, OF_DISTILLED, STRUCTURE
from pyg_distill.data.sources import Source, read_table
from pyg_distill.data.table import GraphTable, concatenate
from pyg_distill.data.tree_sets import TreeSets
from pyg_distill.trees import (
    Forest,
    Graphs,
    hash_features,
    pointer,
    unique_keys,
)

# Whole graphs are compressed this many at a time, so that the size of a
# source does not depend on its chunks.
BLOCK = 4096

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_INTEGERS = ('u1', 'i1', 'u2', 'i2', 'u4', 'i4', 'i8')


@dataclass(frozen=True)
class Encoded:
    """Graphs or tree sets as bytes.

    Attributes:
        schema: What the bytes mean, as plain Python objects.
        payload: The compressed bytes.
    """

    schema: dict[str, Any]
    payload: bytes

    @property
    def num_bytes(self) -> int:
        """The size that a budget limits."""
        return len(self.payload)


def encode(graphs: GraphTable | TreeSets) -> Encoded:
    """Compresses graphs or tree sets without loss.

    Args:
        graphs (GraphTable or TreeSets): What to store.
    """
    writers = []
    for start in range(0, max(1, len(graphs)), BLOCK):
        writers.append(_Writer())
        if isinstance(graphs, TreeSets):  # One block, to share all trees.
            _write_tree_sets(writers[0], graphs)
            break
        end = min(start + BLOCK, len(graphs))
        is_all = end - start == len(graphs)
        block = graphs if is_all else graphs.take(torch.arange(start, end))
        _write_graphs(writers[-1], block)
    payloads = [writer.compress() for writer in writers]
    schema: dict[str, Any] = {
        'form': 'tree sets',
        'columns': writers[0].schema,
        'blocks': [len(payload) for payload in payloads],
    }
    if isinstance(graphs, GraphTable):
        kind = type(graphs.data)
        schema |= {
            'form': 'graphs',
            'class': f'{kind.__module__}.{kind.__qualname__}',
            'columns': [writer.schema for writer in writers],
        }
    return Encoded(schema, b''.join(payloads))


def decode(
    encoded: Encoded, data_cls: type[Data] = Data
) -> GraphTable | TreeSets:
    """Restores what :meth:`encode` compressed.

    Args:
        encoded (Encoded): What it returned.
        data_cls (type, optional): The class of the graphs.
            (default: :class:`~torch_geometric.data.Data`)
    """
    schema, payload = encoded.schema, encoded.payload
    if schema['form'] == 'tree sets':
        return _read_tree_sets(_Reader(schema['columns'], payload))
    tables, start = [], 0
    for columns, size in zip(schema['columns'], schema['blocks'], strict=True):
        reader = _Reader(columns, payload[start : start + size])
        tables.append(_read_graphs(reader, data_cls))
        start += size
    return concatenate(tables)


def compressed_size(dataset: Any, exclude_keys: Sequence[str] = ()) -> int:
    """The compressed bytes of graphs or tree sets, the measure of budgets.

    The size of a :class:`~pyg_distill.datasets.MirageDataset` is
    :obj:`report.compressed_bytes`. What a distilled graph has for itself and
    what follows from the rest, such as :obj:`weight`, does not count.

    .. code-block:: python

        compressed_size(dataset[train_idx])
        compressed_size(MirageDataset(dataset[train_idx], num_layers=2))

    Args:
        dataset (Dataset or list): Graphs that fit into memory.
        exclude_keys (list, optional): Attributes that do not count, since no
            model reads them. (default: :obj:`()`)

    Raises:
        TypeError: If it holds anything but homogeneous graphs.
        ValueError: If it is empty or its graphs have different attributes.
    """
    table = read_table(
        dataset,
        exclude_keys=exclude_keys,
        caller='compressed_size',
        allow_tree_sets=True,
    )
    if 'root_index' in table.keys:
        return encode(_undistilled(table)).num_bytes
    return encode(table).num_bytes


def _undistilled(table: GraphTable) -> GraphTable | TreeSets:
    """What is stored of graphs in tree-set form."""
    own = {*OF_DISTILLED}
    size, num_nodes = table.sizes('root_index'), table.num_nodes
    start = pointer(num_nodes)[:-1].repeat_interleave(size)
    root = table.rows('root_index').cpu() + start
    count = table.rows('root_count')
    is_whole = root.equal(torch.arange(int(num_nodes.sum())))
    # In a whole graph every node is a root, counted once.
    if is_whole and bool((count == 1).all()):
        slices = {k: v for k, v in table.slices.items() if k not in own}
        num_nodes, index = table.stored_num_nodes, table.index
        return GraphTable(table.data, slices, num_nodes, index)
    own = (own - {'support'}).union(FEATURES, STRUCTURE)
    return TreeSets(
        Forest(table.graphs, int(table.rows('num_layers')[0])),
        root,
        count,
        pointer(size),
        attributes={
            key: (table.rows(key), pointer(table.sizes(key)))
            for key in table.keys
            if key not in own
        },
    )


def source_size(source: Source) -> int:
    """The compressed bytes of all graphs of all ranks.

    Args:
        source (Source): The graphs, in any chunks and shards.
    """
    return source.fold_blocks(
        BLOCK, lambda table: encode(table).num_bytes, 'Measuring the source'
    )


def _write_graphs(writer: '_Writer', table: GraphTable) -> None:
    num_nodes, num_edges = table.num_nodes, table.num_edges.cpu()
    writer.integers('num_nodes', num_nodes)
    writer.integers('num_edges', num_edges)
    edge_index = table.rows('edge_index').cpu()
    writer.note('edge_dtype', str(edge_index.dtype).removeprefix('torch.'))
    for name, row in zip(('source', 'target'), edge_index, strict=True):
        writer.integers(name, row.long())
    for key in table.keys:
        if key == 'edge_index':
            continue
        column = f'{key} of a graph'
        if not table.is_tensor(key):
            writer.objects(column, table.objects(key))
            continue
        size = table.sizes(key)
        one = torch.ones_like(size)
        levels = {'one': one, 'node': num_nodes, 'edge': num_edges}
        fits = [name for name, rows in levels.items() if size.equal(rows)]
        level = (*fits, 'other')[0]
        if level == 'other':
            writer.integers(f'{key} sizes', size)
        dim = table.dim(key)
        value = table.rows(key).cpu().movedim(dim, 0)
        writer.rows(column, value, level=level, dim=dim)
    writer.note('has_num_nodes', hasattr(table.data._store, '_num_nodes'))


def _read_graphs(reader: '_Reader', data_cls: type[Data]) -> GraphTable:
    num_nodes = reader.integers('num_nodes')
    num_edges = reader.integers('num_edges')
    edge_index = torch.stack(
        [reader.integers('source'), reader.integers('target')]
    )
    edge_index = edge_index.to(getattr(torch, reader.note('edge_dtype')))
    values: dict[str, Any] = {'edge_index': edge_index}
    slices: dict[str, Any] = {'edge_index': pointer(num_edges)}
    one = torch.ones_like(num_nodes)
    for column, entry in reader.entries():
        key = column.removesuffix(' of a graph')
        if entry['kind'] == 'objects':
            values[key] = reader.objects(column)
            slices[key] = pointer(one)
        elif entry['kind'] == 'rows':
            level = entry['level']
            if level == 'other':
                size = reader.integers(f'{key} sizes')
            else:
                size = {'one': one, 'node': num_nodes, 'edge': num_edges}[level]
            values[key] = reader.rows(column).movedim(0, entry['dim'])
            slices[key] = pointer(size)
    data = data_cls.from_dict(values)
    if reader.note('has_num_nodes'):
        data.num_nodes = int(num_nodes.sum())
        data._store._num_nodes = num_nodes.tolist()
    return GraphTable(data, slices, num_nodes)


def _write_tree_sets(writer: '_Writer', sets: TreeSets) -> None:
    sets = sets.shrink()
    graphs = sets.forest.graphs
    child, parent = graphs.edge_index
    degree = torch.bincount(parent, minlength=graphs.num_nodes)
    writer.note('num_layers', sets.forest.num_layers)
    writer.note('compact', sets.compact)
    writer.integers('degree', degree)
    writer.integers('child', child)
    for name in FEATURES:
        value = getattr(graphs, name)
        if value is not None:
            writer.rows(name, value)
    writer.integers('num_roots', sets.root_ptr.diff())
    writer.integers('root', sets.root)
    writer.integers('root_count', sets.root_count)
    for name, (value, ptr) in sets.attributes.items():
        size = ptr.diff()
        single = bool((size == 1).all())
        if not single:
            writer.integers(f'{name} sizes', size)
        writer.rows(f'{name} of a set', value, single=single)


def _read_tree_sets(reader: '_Reader') -> TreeSets:
    degree, child = reader.integers('degree'), reader.integers('child')
    parent = torch.arange(degree.numel()).repeat_interleave(degree)
    names = [name for name, _ in reader.entries()]
    features = {name: reader.rows(name) for name in FEATURES if name in names}
    graphs = Graphs(
        torch.stack([child, parent]),
        torch.tensor([0, degree.numel()]),
        torch.tensor([0, child.numel()]),
        **features,
    )
    num_roots = reader.integers('num_roots')
    attributes = {}
    for name, entry in reader.entries():
        if name.endswith(' of a set'):
            key = name.removesuffix(' of a set')
            size = torch.ones_like(num_roots)
            if not entry['single']:
                size = reader.integers(f'{key} sizes')
            attributes[key] = reader.rows(name), pointer(size)
    return TreeSets(
        Forest(graphs, reader.note('num_layers')),
        reader.integers('root'),
        reader.integers('root_count'),
        pointer(num_roots),
        reader.note('compact'),
        attributes,
    )


class _Writer:
    """Collects columns of bytes, and notes what they are."""

    def __init__(self) -> None:
        self.schema: dict[str, Any] = {}
        self._columns: list[bytes] = []

    def note(self, name: str, value: Any) -> None:
        self.schema[name] = {'kind': 'note', 'value': value}

    def integers(self, name: str, value: Tensor) -> None:
        narrow = _narrow(value.numpy())
        self._add(name, narrow.tobytes(), 'integers', type=narrow.dtype.str)

    def objects(self, name: str, values: list[Any]) -> None:
        key = name.removesuffix(' of a graph')
        try:
            text = json.dumps(values)
            if json.loads(text) != values:
                raise TypeError('JSON has no tuples, nor keys but strings')
        except TypeError as error:
            raise TypeError(
                f"'{key}' must hold tensors, numbers, strings or lists of "
                f'these to be stored (got {type(values[0]).__name__}); leave '
                f"it out with exclude_keys=['{key}']"
            ) from error
        self._add(name, text.encode(), 'objects')

    def rows(self, name: str, value: Tensor, **notes: Any) -> None:
        """Adds rows of any type, each distinct one once if that is less."""
        value = value.contiguous()
        notes |= {
            'dtype': str(value.dtype).removeprefix('torch.'),
            'shape': list(value.size()),
        }
        bits = _to_bits(value)
        width = bits.size(1)
        number = None
        if width > 1 or value.is_floating_point():
            distinct, inverse = _distinct_rows(bits)
            itemsize = 1 if distinct.size(0) <= 256 else 2
            stored = _narrow(bits.numpy()).itemsize * width
            if distinct.size(0) * stored + itemsize * bits.size(
                0
            ) < stored * bits.size(0):
                bits, number = distinct, inverse
        # Columns next to each other compress better than rows.
        narrow = _narrow(bits.t().contiguous().numpy())
        self._add(
            name,
            narrow.tobytes(),
            'rows',
            type=narrow.dtype.str,
            num_distinct=bits.size(0),
            **notes,
        )
        if number is not None:
            self.integers(f'{name} numbers', number)

    def _add(self, name: str, data: bytes, kind: str, **notes: Any) -> None:
        self.schema[name] = {'kind': kind, 'size': len(data), **notes}
        self._columns.append(data)

    def compress(self) -> bytes:
        # Raw DEFLATE, since a checksum is kept elsewhere.
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
        return deflate.compress(b''.join(self._columns)) + deflate.flush()


class _Reader:
    """Reads what a writer wrote."""

    def __init__(self, schema: dict[str, Any], payload: bytes) -> None:
        self.schema = schema
        data = zlib.decompress(payload, -zlib.MAX_WBITS)
        self._columns: dict[str, bytes] = {}
        start = 0
        for name, entry in schema.items():
            if 'size' in entry:
                self._columns[name] = data[start : start + entry['size']]
                start += entry['size']
        if start != len(data):
            raise ValueError('the bytes do not fit their schema')

    def entries(self) -> list[tuple[str, dict[str, Any]]]:
        return list(self.schema.items())

    def note(self, name: str) -> Any:
        return self.schema[name]['value']

    def integers(self, name: str) -> Tensor:
        array = np.frombuffer(self._columns[name], self.schema[name]['type'])
        return torch.from_numpy(array.astype(np.int64))

    def objects(self, name: str) -> list[Any]:
        return json.loads(self._columns[name])

    def rows(self, name: str) -> Tensor:
        entry = self.schema[name]
        array = np.frombuffer(self._columns[name], entry['type'])
        bits = torch.from_numpy(array.astype(np.int64))
        dtype, shape = getattr(torch, entry['dtype']), entry['shape']
        width = math.prod(shape[1:]) * (2 if dtype.is_complex else 1)
        bits = bits.view(width, entry['num_distinct']).t()
        if f'{name} numbers' in self.schema:
            bits = bits[self.integers(f'{name} numbers')]
        return _from_bits(bits, dtype, shape)


def _narrow(value: np.ndarray) -> np.ndarray:
    """The same integers in the narrowest type."""
    low, high = (int(value.min()), int(value.max())) if value.size else (0, 0)
    for name in _INTEGERS:
        info = np.iinfo(name)
        if info.min <= low and high <= info.max:
            return value.astype(f'<{name}' if name[1] != '1' else name)
    return value


def _to_bits(value: Tensor) -> Tensor:
    """Rows of any type as integers of shape :obj:`[n, w]`."""
    if value.is_complex():
        value = torch.view_as_real(value)
    num_rows, width = value.size(0), math.prod(value.size()[1:])
    if value.is_floating_point():
        value = value.view(_BITS[value.element_size()])
    return value.reshape(num_rows, width).long()


def _from_bits(bits: Tensor, dtype: torch.dtype, shape: list[int]) -> Tensor:
    if dtype.is_complex:
        real = torch.float32 if dtype == torch.complex64 else torch.float64
        value = _from_bits(bits, real, [*shape, 2])
        return torch.view_as_complex(value)
    if dtype.is_floating_point:
        size = torch.empty(0, dtype=dtype).element_size()
        return bits.to(_BITS[size]).contiguous().view(dtype).reshape(shape)
    return bits.to(dtype).reshape(shape)


def _distinct_rows(bits: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows, the most frequent first, and the number of each row."""
    rows = unique_keys(hash_features(bits, 'rows'))
    # By position among equally frequent ones, so hashes decide on nothing.
    order = torch.argsort(rows.first, stable=True)
    order = order[
        torch.argsort(rows.count[order], descending=True, stable=True)
    ]
    number = torch.empty_like(order)
    number[order] = torch.arange(order.numel())
    distinct, inverse = bits[rows.first[order]], number[rows.inverse]
    assert distinct[inverse].equal(bits), 'two rows share a 128-bit key'
    return distinct, inverse
