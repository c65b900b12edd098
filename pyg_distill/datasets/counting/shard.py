"""The graphs that this process reads, once or as often as it must."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from time import perf_counter
from typing import Any

from torch import Tensor
from tqdm import tqdm

from pyg_distill.datasets.counting.census import Census, CensusTaker
from pyg_distill.datasets.counting.frequent_trees import (
    FrequentTrees,
    TreeCollector,
)
from pyg_distill.datasets.counting.part import Part
from pyg_distill.datasets.counting.tree_counts import TreeCounts
from pyg_distill.datasets.options import MirageOptions
from pyg_distill.datasets.reading.chunks import Chunks, open_chunks
from pyg_distill.datasets.reading.digest import ContentDigest
from pyg_distill.datasets.reading.source import read_source


class Shard:
    """Reads a source chunk by chunk, and never holds more than one of them.

    A source of one chunk is read once and kept.

    Args:
        source (Dataset or iterable): The graphs.
        options (MirageOptions): What is read, and how trees are compared.
        owner (str): The class named in error messages.
        log (bool): Whether to show progress if it takes long.
        may_be_empty (bool, optional): Whether there may be no graph at all.
            (default: :obj:`False`)

    Attributes:
        seconds: The time that reading has taken so far.
    """

    def __init__(
        self,
        source: Any,
        options: MirageOptions,
        owner: str,
        log: bool,
        may_be_empty: bool = False,
    ) -> None:
        self.source = source
        self.may_be_empty = may_be_empty
        self.options = options
        self.owner = owner
        self.log = log
        self.seconds = 0.0
        self._whole: Part | None = None
        self._digest: str | None = None
        self._census: Census | None = None

    @cached_property
    def _chunks(self) -> Chunks:
        # Not before it is needed, as a source with a cache is not touched.
        return open_chunks(
            self.source, self.owner, may_be_empty=self.may_be_empty
        )

    def digest(self) -> str:
        """A hash of all that is read, whatever the chunks."""
        if self._digest is None:
            self._count(with_digest=True)
        return self._digest or ''

    def census(self) -> Census | None:
        """What is known of all graphs, if there are any."""
        if self._census is None:
            self._count(with_digest=False)
        return self._census

    def trees(self, key: Tensor) -> FrequentTrees | None:
        """Reads all graphs, and keeps the trees with the given keys."""
        collector = TreeCollector(key, every=self.options.verify)
        for part in self.parts('Collecting trees'):
            collector.add(part)
        out = collector.result()
        if out is not None:
            self.check_again(
                TreeCounts.from_occurrences(out.occurrences, out.label, key),
                key,
            )
        return out

    def check_again(self, found: TreeCounts, key: Tensor | None = None) -> None:
        """Refuses a source that gave other graphs when it was read again.

        Args:
            found (TreeCounts): What was counted this time.
            key (torch.Tensor, optional): The trees that were looked at, of
                shape :obj:`[V, 2]`; without, all. (default: :obj:`None`)

        Raises:
            ValueError: If something else was counted before.
        """
        if self._chunks.is_whole or self._census is None:
            return
        expected = self._census.counts
        if not found.equal(expected if key is None else expected.only(key)):
            raise ValueError(
                f"'{self.owner}' got other graphs when it read the source a "
                f'second time; distil without random transforms, and let '
                f'nothing write to the source meanwhile'
            )

    def parts(self, what: str) -> Iterator[Part]:
        """The graphs, as many at a time as there are in a chunk."""
        if self._whole is not None:
            yield self._whole
            return
        log = self.log and not self._chunks.is_whole
        chunks = iter(self._chunks)
        first = 0
        with tqdm(desc=what, unit=' graphs', disable=not log, delay=1) as bar:
            while True:
                start = perf_counter()
                part = self._next(chunks, first)
                self.seconds += perf_counter() - start
                if part is None:
                    return
                first += part.source.graphs.num_graphs
                if self._chunks.is_whole:
                    self._whole = part
                yield part
                bar.update(part.source.graphs.num_graphs)

    def _next(self, chunks: Iterator[Any], first: int) -> Part | None:
        is_whole = self._chunks.is_whole
        options = self.options
        try:
            chunk, num_classes = next(chunks, (None, 0))
            if chunk is None:
                return None
            source = read_source(
                chunk,
                options.exclude_keys or [],
                self.owner,
                self.log and is_whole,
            )
            num_classes = max(source.num_classes, num_classes)
            source = replace(source, num_classes=num_classes)
            part = Part(source, options.num_layers, options.verify)
            if not is_whole:
                _ = part.forest  # Its errors are to be named, too.
        except (TypeError, ValueError) as error:
            if is_whole:
                raise
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f'in the chunk that begins with graph {first} (counted from 0 '
                f'there): {error}'
            ) from error
        return part

    def _count(self, with_digest: bool) -> None:
        # Whether a cache exists should be known before keys are computed, but
        # reading a second time would take longer than that.
        digest, taker = ContentDigest(), CensusTaker()
        num_classes, left_out = 0, set[str]()
        with_census = not (with_digest and self._chunks.is_whole)
        for part in self.parts('Counting trees'):
            num_classes = max(num_classes, part.source.num_classes)
            left_out.update(part.source.left_out)
            if with_digest:
                digest.add(part.source)
            if with_census:
                taker.add(Census.of(part))
        if with_digest:
            self._digest = digest.hexdigest(num_classes, left_out)
        if with_census:
            self._census = taker.result()
