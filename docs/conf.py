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
]


# The package reference documents the names in the `__init__` of each group, so
# that a new class documents itself.
def render_names(app, docname, source):
    if docname.startswith('modules/'):
        package = import_module(f'pyg_distill.{docname.split("/")[1]}')

        def kind(name):
            is_class = isinstance(getattr(package, name), type)
            return 'class' if is_class else 'function'

        template = Template(source[0])
        source[0] = template.render(names=package.__all__, kind=kind)


def setup(app):
    app.connect('source-read', render_names)
