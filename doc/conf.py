"""Sphinx configuration; builds offline."""

import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.directives.other import Include
from sphinx.util import logging
from sphinx_gallery.sorting import ExplicitOrder

from skdeepclust import __version__ as release

project = "skdeepclust"
author = "the skdeepclust developers"
project_copyright = "2026, the skdeepclust developers"
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_generated", "_templates"]
templates_path = ["_templates"]
default_role = "literal"
nitpicky = False

autosummary_generate = True
toc_object_entries_show_parents = "hide"  # names of methods alone
autodoc_typehints = "none"  # the docstrings give types and shapes
numpydoc_show_class_members = False  # _templates/autosummary/class.rst lists them
numpydoc_class_members_toctree = False

EXAMPLES = [  # in the order of need; those that are not listed come last
    "embedding",
    "image_folder",
    "features",
    "table",
    "text",
    "single_cells",
    "n_clusters",
    "uneven_groups",
    "doubt",
    "compare",
    "search",
    "new_samples",
    "resume",
    "graph",
    "self_pacing",
]
sphinx_gallery_conf = {
    "within_subsection_order": ExplicitOrder(
        [*(f"plot_{name}.py" for name in EXAMPLES), "*"]
    ),
    "parallel": 2,
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "ignore_pattern": r"(demo|torchrun)\.py",
    "abort_on_example_error": True,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    # "Examples using ..." on the pages of the reference.
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skdeepclust",),
    "write_computation_times": False,  # its page loads scripts from the network
}

html_theme = "pydata_sphinx_theme"
html_title = f"skdeepclust {release}"
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["pages.css", "tables.css"]
# Pages without pages below them have no use for a list of those.
html_sidebars = {"benchmarks": [], "quickstart": [], "thesis": [], "whats_new": []}

# Inherited from scikit-learn; their docstrings point into its own user guide.
SCIKIT_LEARN_PLUMBING = re.compile(r"set_\w+_request|set_output|get_metadata_routing")


def skip_plumbing(app, what, name, obj, skip, options):
    """Leave out of the class pages what others document: scikit-learn's metadata and
    output plumbing, and the methods of torch's modules."""
    of_torch = (getattr(obj, "__module__", None) or "").startswith("torch.")
    return True if of_torch or SCIKIT_LEARN_PLUMBING.fullmatch(name) else None


def visit_math(translator, node):
    """Write an equation as MathML: browsers draw it without a script or a network."""
    block = isinstance(node, nodes.math_block)
    try:
        mathml = tex2mathml(node.astext(), as_block=block)
    except MathError as error:
        logging.getLogger(__name__).warning(
            "no MathML for %s: %s", node.astext(), error, location=node
        )
        raise nodes.SkipNode from error
    # Bars enclose: they do not grow with an exponent, and have no space around them.
    mathml = re.sub(
        r"<mo[^>]*>([|\u2016])</mo>",
        r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>',
        mathml,
    )
    if block:
        mathml = (
            translator.starttag(node, "div", CLASS="equation") + mathml + "</div>\n"
        )
    translator.body.append(mathml)
    raise nodes.SkipNode


NAMES = re.compile(
    r"""(?<=<h[12]>)[^<]+ | (?<=name"><span\ class="pre">)[^<]+
    | (?<=<span\ class="pre">)(?:[^<&]|&[^;]+;){30,}""",
    re.VERBOSE,
)
BREAKS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z][._])")


def break_names(app, pagename, templatename, context, doctree):
    """Let long names break before capitals and after dots, if they have to."""
    if "body" in context:
        context["body"] = NAMES.sub(
            lambda match: BREAKS.sub("<wbr>", match[0]), context["body"]
        )


class IncludeIfExists(Include):
    """``include``, but nothing where the file has not been generated."""

    def run(self):
        _, filename = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(filename)
        return super().run() if Path(filename).is_file() else []


def setup(app):
    """Register the pieces above."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("autodoc-skip-member", skip_plumbing)
    app.connect("html-page-context", break_names)
    app.add_directive("include-if-exists", IncludeIfExists)
