"""The command line of the package, `python -m pyg_distill`."""

import argparse
import sys
from collections.abc import Sequence

from pyg_distill import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command.

    Args:
        arguments (list, optional): The arguments after
            :obj:`python -m pyg_distill`; those of this process if not given.
            (default: :obj:`None`)

    Returns:
        int: The exit code, :obj:`1` if a file could not be read.
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
        help='print the reports of cached data sets',
        description='Prints the reports of data sets that MirageDataset '
        'cached under root=..., without reading their graphs.',
    )
    report.add_argument(
        'path',
        metavar='FILE_OR_FOLDER',
        help='a cached data set, or a folder with some',
    )
    return print_reports(parser.parse_args(arguments).path)


def print_reports(path: str) -> int:
    """Prints the report of a cached data set, or of each one in a folder.

    Args:
        path (str): The file or folder.

    Returns:
        int: The exit code, :obj:`1` if a file could not be read.
    """
    # PyG takes seconds to import; --version and --help do not need it.
    from pyg_distill.datasets.cache import find_caches, read_report

    # Other file systems raise the first two.
    errors = ImportError, OSError, ValueError
    try:
        caches = find_caches(path)
    except errors as error:
        print(error, file=sys.stderr)
        return 1
    texts = []
    for cache in caches:
        try:
            texts.append(f'{cache}\n{read_report(cache)}')
        except errors as error:
            print(error, file=sys.stderr)
    if texts:
        print('\n\n'.join(texts))
    return int(len(texts) < len(caches))


if __name__ == '__main__':
    sys.exit(main())
