"""Reads the tables of the cheat sheet."""

import re
from itertools import product
from pathlib import Path

PAGE = Path(__file__).parents[2] / 'docs' / 'cheat_sheet.rst'


def read_table(title: str) -> dict[tuple[str, str], str]:
    """The cells of a list-table by row and column, without markup."""
    text = PAGE.read_text()
    lines = text.split(f'.. list-table:: {title}\n')[1].splitlines()
    rows: list[list[str]] = []
    for line in lines:
        if line and not line.startswith(' '):
            break
        if match := re.match(r'   (\* -|  -)(.*)', line):
            if match[1] == '* -':
                rows.append([])
            rows[-1].append(match[2].strip())
        elif rows and line.strip():
            rows[-1][-1] += ' ' + line.strip()
    plain = [[c.replace('`', '') for c in r] for r in rows]
    head, *body = plain
    assert all(len(row) == len(head) for row in body)
    return {
        (row[0], column): row[i]
        for row, (i, column) in product(body, enumerate(head))
        if i > 0
    }
