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
from pyg_distill.datasets.options import MirageOptions
from pyg_distill.datasets.reading.chunks import Chunks, open_chunks
from pyg_distill.datasets.reading.digest import ContentDigest
from pyg_distill.datasets.reading.source import read_source
from pyg_distill.transforms.own_names import OF_TREE_SETS, refuse_own_names

_OWN_NAMES = ('support', 'weight', *OF_TREE_SETS)


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
        self._content: str | None = None
        self._named: str | None = None
        self._census: Census | None = None

    @cached_property
    def _chunks(self) -> Chunks:
        # Not before it is needed, as a source with a cache is not touched.
        return open_chunks(
            self.source, self.owner, may_be_empty=self.may_be_empty
        )

    @property
    def is_whole(self) -> bool:
        """Whether all graphs of this process are in memory at once."""
        return self._chunks.is_whole

    def digest(self) -> str:
        """A hash of all that is read, whatever the chunks."""
        # Whether there is a cache should be known before keys are computed,
        # but reading a second time would take longer than that.
        if self._named is None:
            self._count(with_census=not self._chunks.is_whole)
        if self._content is None and self._whole is not None:
            content = ContentDigest()
            content.add(self._whole.source)
            self._content = content.hexdigest()
        return f'{self._content} {self._named}'

    def census(self) -> Census | None:
        """What is known of all graphs, if there are any."""
        if self._census is None:
            self._count(with_census=True)
        return self._census

    def trees(self, key: Tensor) -> FrequentTrees | None:
        """Reads all graphs, and keeps the trees with the given keys."""
        collector = TreeCollector(key, every=self.options.verify)
        for part in self.parts('Collecting trees'):
            collector.add(part)
        return collector.result()

    def parts(self, what: str) -> Iterator[Part]:
        """The graphs, as many at a time as there are in a chunk.

        Args:
            what (str): What is done with them, shown as progress.

        Raises:
            ValueError: If they are not those that were read before.
        """
        if self._whole is not None:
            yield self._whole
            return
        is_whole = self._chunks.is_whole
        chunks, content = iter(self._chunks), ContentDigest()
        only, first = None, 0
        log = self.log and not is_whole
        with tqdm(desc=what, unit=' graphs', disable=not log, delay=1) as bar:
            while (part := self._next(chunks, first)) is not None:
                only = part if first == 0 else None
                size = part.source.graphs.num_graphs
                if is_whole:
                    self._whole = part
                else:
                    content.add(part.source)
                first += size
                yield part
                bar.update(size)
        if is_whole:
            return
        self._check_again(content.hexdigest())
        # It turned out to be small, and need not be read again.
        self._whole = only

    def _next(self, chunks: Iterator[Any], first: int) -> Part | None:
        is_whole = self._chunks.is_whole
        options = self.options
        start = perf_counter()
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
            refuse_own_names(source.attributes, _OWN_NAMES, self.owner)
            num_classes = max(source.num_classes, num_classes)
            source = replace(source, num_classes=num_classes)
            part = Part(source, options.num_layers, options.verify)
            self.seconds += perf_counter() - start
            if not is_whole:
                _ = part.forest  # Its errors are to be named, too.
        except (TypeError, ValueError) as error:
            if first == 0:
                raise
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f'in a chunk whose graph 0 is graph {first} of the source: '
                f'{error}'
            ) from error
        return part

    def _check_again(self, content: str) -> None:
        if self._content is None:
            self._content = content
        elif content != self._content:
            raise ValueError(
                f"'{self.owner}' got other graphs, or another order, when it "
                f'read the source a second time; switch shuffling and random '
                f'transforms off, pass an object whose __iter__ starts anew, '
                f'and let nothing write to the source meanwhile'
            )

    def _count(self, with_census: bool) -> None:
        taker = CensusTaker()
        num_classes, left_out = 0, set[str]()
        for part in self.parts('Counting trees'):
            num_classes = max(num_classes, part.source.num_classes)
            left_out.update(part.source.left_out)
            if with_census:
                taker.add(Census.of(part))
        if with_census:
            self._census = taker.result()
        self._named = f'{num_classes} {sorted(left_out)}'
