"""What `python -m pyg_distill` does."""

import argparse
import sys
from collections.abc import Sequence

from pyg_distill import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line, and prints what was asked for.

    Args:
        arguments (list, optional): What stands behind
            :obj:`python -m pyg_distill`; by default, that of this process.
            (default: :obj:`None`)

    Returns:
        int: The exit code, :obj:`1` if something could not be read.
    """
    parser = argparse.ArgumentParser(
        'python -m pyg_distill',
        description='Smaller data sets and smaller models for PyG.',
    )
    parser.add_argument(
        '--version', action='version', version=f'pyg_distill {__version__}'
    )
    commands = parser.add_subparsers(dest='command', required=True)
    report = commands.add_parser(
        'report',
        help='print what distilling did to a cached data set',
        description='Prints the reports of data sets that MirageDataset '
        'cached under root=..., without loading them.',
    )
    report.add_argument(
        'path', metavar='FILE_OR_FOLDER', help='a cached set, or where some are'
    )
    return print_reports(parser.parse_args(arguments).path)


def print_reports(path: str) -> int:
    """Prints the report of a cached set, or of each in a folder.

    Args:
        path (str): The file or folder.

    Returns:
        int: The exit code, :obj:`1` if something could not be read.
    """
    # Loading PyG takes seconds, which --version and --help need not wait for.
    from pyg_distill.datasets.cached_reports import (
        find_reports,
        read_report,
        tensor_path,
    )

    failed = False
    texts: list[str] = []
    try:
        for found in find_reports(path):
            try:
                texts.append(f'{tensor_path(found)}\n{read_report(found)}')
            except ValueError as error:
                failed = True
                print(error, file=sys.stderr)
    except (ImportError, OSError, ValueError) as error:
        # The former two from file systems that are not installed or reached.
        failed = True
        print(error, file=sys.stderr)
    if texts:
        print('\n\n'.join(texts))
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
