"""Reads the tables of the cheat sheet."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / 'docs' / 'cheat_sheet.rst'


def read_table(title: str) -> dict[tuple[str, str], str]:
    """The cells of a simple table by row and column, without markup."""
    text = PAGE.read_text().split(f'.. table:: {title}\n')[1]
    edge, *lines = text[text.index('   ==') :].splitlines()
    spans = [match.span() for match in re.finditer('=+', edge)]
    rows = []
    for line in lines:
        if not line.strip():
            break
        if '==' not in line:
            cells = [line[start:end] for start, end in spans]
            rows.append([cell.replace('`', '').strip() for cell in cells])
    head, *body = rows
    assert len(body) > 5
    return {
        (row[0], column): cell
        for row in body
        for column, cell in zip(head[1:], row[1:], strict=True)
    }
