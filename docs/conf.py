from importlib import import_module

from jinja2 import Template

import pyg_distill

project = 'pyg_distill'
author = 'the pyg_distill team'
copyright = f'2026, {author}'
version = release = pyg_distill.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
]
html_theme = 'furo'
html_title = 'pyg_distill'
html_static_path = ['_static']
html_css_files = ['tables.css']
exclude_patterns = ['_build']

autodoc_typehints = 'none'
autodoc_default_options = {'members': True, 'member-order': 'bysource'}
napoleon_custom_sections = ['Shapes']

# Builds without network, so nothing outside of this package can be looked up.
nitpicky = True
nitpick_ignore_regex = [
    # In the dialect of PyG, literals such as `:obj:`True`` are objects, too.
    ('py:obj', r'(?!pyg_distill).*'),
    (
        'py:.*',
        r'(torch|torch_geometric|torch_sparse|matplotlib|collections)\..*',
    ),
    # Types of arguments as PyG writes them.
    (
        'py:class',
        'optional|callable|iterable|'
        'Data|Dataset|InMemoryDataset|SparseTensor|Aggregation',
    ),
    # Internal names, and attributes that a base class documents.
    (
        'py:class',
        r'(.*\.)?(FeatureCode|LayerPairLoss|Ranks|TreeCounts)|The bytes|'
        'all tensors',
    ),
    ('py:meth', r'sample_weights|to_plain|InMemoryDataset\.collate'),
    ('py:attr', 'needs_batch|needs_edges'),
]


# The package reference documents the names in the `__init__` of each group, so
# that a new class documents itself. A name of another group stands there.
def render_names(app, docname, source):
    if docname.startswith('modules/'):
        package = import_module(f'pyg_distill.{docname.split("/")[1]}')

        def kind(name):
            is_class = isinstance(getattr(package, name), type)
            return 'class' if is_class else 'function'

        names = [
            name
            for name in package.__all__
            if getattr(package, name).__module__.startswith(package.__name__)
        ]
        template = Template(source[0])
        source[0] = template.render(names=names, kind=kind)


def setup(app):
    app.connect('source-read', render_names)
