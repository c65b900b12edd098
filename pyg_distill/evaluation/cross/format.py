"""Results -> a table of text."""

from collections.abc import Callable, Iterable, Sequence

from pyg_distill.evaluation.comparison import mean_and_std
from pyg_distill.evaluation.cross.records import Record, SetRecord

_TITLES = {'auc': 'ROC-AUC', 'accuracy': 'Accuracy'}


def format_evaluation(
    records: Sequence[Record], set_records: Sequence[SetRecord], metric: str
) -> str:
    """One line a cell, one column a training set, and sizes and times below.

    Args:
        records (list): What was measured in each training.
        set_records (list): The size of each training set in each run.
        metric (str): The attribute of the records that is shown; the largest
            mean of a line is marked.
    """
    names = list(dict.fromkeys(r.train_set for r in records))
    found: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for r in records:
        of_cell = found.setdefault(r.cell, {})
        of_cell.setdefault(r.train_set, []).append(getattr(r, metric))

    rows = [(_TITLES[metric], names)]
    ranks: dict[str, list[float]] = {name: [] for name in names}
    for cell, by_set in found.items():
        stats = {name: mean_and_std(v) for name, v in by_set.items()}
        best = max(mean for mean, _ in stats.values())
        texts = []
        for name in names:
            if name not in stats:
                texts.append('-  ')
                continue
            mean, std = stats[name]
            mark = '*' if mean == best and len(names) > 1 else ' '
            texts.append(f'{mean:.3f} ± {std:.3f} {mark}')
            above = sum(other > mean for other, _ in stats.values())
            equal = sum(other == mean for other, _ in stats.values())
            ranks[name].append(above + (equal + 1) / 2)
        rows.append((' '.join(filter(None, cell)), texts))

    complete = all(len(by_set) == len(names) for by_set in found.values())
    if complete and len(names) > 1:
        rows.append(
            ('mean rank', [f'{_mean(ranks[name]):.2f}  ' for name in names])
        )
    tasks = list(dict.fromkeys(s.dataset for s in set_records))
    for task in tasks:
        here = [s for s in set_records if s.dataset == task]
        rows += _sizes(here, names, task)
        rows.append(
            (
                f'{task} s to train'.strip(),
                _column(
                    [r for r in records if r.dataset == task],
                    names,
                    lambda r: r.seconds,
                    '.2f',
                ),
            )
        )
    return _align(rows)


def _sizes(
    here: Sequence[SetRecord], names: Sequence[str], task: str
) -> list[tuple[str, list[str]]]:
    out = []
    for title, key, style in [
        ('graphs', 'num_graphs', ',.0f'),
        ('nodes', 'num_nodes', ',.0f'),
        ('edges', 'num_edges', ',.0f'),
        ('bytes', 'num_bytes', ',.0f'),
        ('bytes packed', 'packed_bytes', ',.0f'),
        ('bytes on disk', 'file_size', ',.0f'),
        ('s to distil', 'seconds', '.2f'),
    ]:
        if any(getattr(s, key) is not None for s in here):
            texts = _column(here, names, lambda s, k=key: getattr(s, k), style)
            out.append((f'{task} {title}'.strip(), texts))
    return out


def _column(
    rows: Iterable,
    names: Sequence[str],
    value: Callable[..., float | None],
    style: str,
) -> list[str]:
    by_set: dict[str, list[float | None]] = {name: [] for name in names}
    for row in rows:
        by_set[row.train_set].append(value(row))
    texts = []
    for values in by_set.values():
        known = [number for number in values if number is not None]
        # A mean over some of the runs would not fit the other lines.
        whole = known and len(known) == len(values)
        texts.append(f'{format(_mean(known), style)}  ' if whole else '-  ')
    return texts


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _align(rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    left = max(len(title) for title, _ in rows)
    width = [
        max(len(texts[i]) for _, texts in rows) for i in range(len(rows[0][1]))
    ]
    lines = []
    for i, (title, texts) in enumerate(rows):
        cells = [
            # Names stand above numbers, which end with room for a mark.
            f'{f"{text}  " if i == 0 else text:>{size + 2}}'
            for text, size in zip(texts, width, strict=True)
        ]
        lines.append(f'{title:{left}}  {"  ".join(cells)}'.rstrip())
    return '\n'.join(lines)
