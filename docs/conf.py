import pyg_distill

project = 'pyg_distill'
author = 'the pyg_distill team'
copyright = f'2026, {author}'
version = release = pyg_distill.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
]
html_theme = 'furo'
html_title = 'pyg_distill'
exclude_patterns = ['_build']

autodoc_typehints = 'none'
autodoc_member_order = 'bysource'
autosummary_generate = True
napoleon_custom_sections = [('Shapes', 'params_style')]
templates_path = ['_templates']


# The package reference lists names from the `__init__` of each group, so that
# a new class documents itself.
def render_lists(app, docname, source):
    if docname.startswith('modules/'):
        from importlib import import_module

        package = import_module(f'pyg_distill.{docname.split("/")[1]}')
        template = app.builder.templates.environment.from_string(source[0])
        source[0] = template.render(package=package)


def setup(app):
    app.connect('source-read', render_lists)
