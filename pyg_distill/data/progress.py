"""A line on stderr that tells what takes so long."""

import threading
from typing import Any

from tqdm import tqdm

_DELAY, _INTERVAL = 1.0, 0.5  # In seconds.


class Progress:
    """Shows what is being done, once it has taken a second.

    A single operation on tensors may take minutes, so a thread of its own
    draws the line. It is gone when all is done.

    Args:
        what (str): What is done.
        log (bool): Whether to show it.
        total (int, optional): The number of steps, if it is known.
            (default: :obj:`None`)
    """

    def __init__(self, what: str, log: bool, total: int | None = None) -> None:
        self._what = what
        self._text = what
        self._total = total
        self._done = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        if log:
            self._thread = threading.Thread(target=self._show, daemon=True)

    def stage(self, name: str) -> None:
        """Tells what is done next."""
        self._text = f'{self._what}, {name}'

    def update(self, steps: int = 1) -> None:
        """Tells that some steps are done."""
        self._done += steps

    def __enter__(self) -> 'Progress':
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _show(self) -> None:
        if self._ended.wait(_DELAY):
            return
        options: dict[str, Any] = {'total': self._total, 'leave': False}
        if self._total is None:
            options['bar_format'] = '{desc} [{elapsed}]'
        with tqdm(**options) as bar:
            bar.start_t -= _DELAY
            while True:
                bar.n = self._done
                bar.set_description_str(self._text)
                if self._ended.wait(_INTERVAL):
                    return
