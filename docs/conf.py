"""Settings of the documents: python -m sphinx -W -b html docs OUT.

Nothing is fetched, neither here nor by the pages: equations become MathML, fonts are the reader's.
"""

import importlib
import sys
from html import escape
from pathlib import Path

from latex2mathml.converter import convert
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from mmdeepcluster import __version__  # noqa: E402

project = "mmdeepcluster"
author = "the authors of mmdeepcluster"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"mmdeepcluster {__version__}"
html_show_sphinx = False
html_math_renderer = "mathml"
exclude_patterns = ["examples/**"]
suppress_warnings = ["myst.header"]  # pages of several topics have several titles

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nitpicky = True

napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "alphabetical"
autodoc_preserve_defaults = True
# What is inherited from torch and MMEngine is documented there.
autodoc_default_options = {"show-inheritance": False}

# Pages that stand elsewhere in the repository, for those who read them there.
MIRRORED = {
    "readme": "README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "benchmark_configs": "configs/benchmarks/README.md",
}
# What the pages of the reference show, each the public names of a package.
API = {
    "apis": "mmdeepcluster.apis",
    "clustering": "mmdeepcluster.clustering",
    "datasets": "mmdeepcluster.datasets",
    "algorithms": "mmdeepcluster.models.algorithms",
    "backbones": "mmdeepcluster.models.backbones",
    "necks": "mmdeepcluster.models.necks",
    "heads": "mmdeepcluster.models.heads",
    "losses": "mmdeepcluster.models.losses",
    "memories": "mmdeepcluster.models.memories",
    "hooks": "mmdeepcluster.engine.hooks",
    "evaluation": "mmdeepcluster.evaluation",
    "visualization": "mmdeepcluster.visualization",
}


def public_names():
    """Public name of each documented object by its last part, such as ``KMeans``."""
    names = {}
    for package in API.values():
        for name in importlib.import_module(package).__all__:
            names.setdefault(name, f"{package}.{name}")
    return names


def read_source(app, docname, source):
    """Takes a page from elsewhere, and lets links to such pages lead here."""
    if docname in MIRRORED:
        path = MIRRORED[docname]
        source[0] = (ROOT / path).read_text(encoding="utf-8").replace("](docs/", "](")
        # Folders between the page and the root of the repository.
        source[0] = source[0].replace("](" + "../" * path.count("/") + "docs/", "](")
    for docname_there, path in MIRRORED.items():
        for prefix in ("", "../"):
            source[0] = source[0].replace(f"]({prefix}{path}", f"]({docname_there}.md")


def find_public(app, env, node, contnode):
    """Lets ``:class:`KMeans``` of a docstring lead to the page that shows the object.

    A name that is documented nowhere, as are types of other projects, stays plain text.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].lstrip(".")
    names, domain = app.public_names, env.get_domain("py")
    head, _, member = target.rpartition(".")
    last = head.rpartition(".")[2]
    for name in (names.get(target.rpartition(".")[2]), f"{names.get(last)}.{member}"):
        if name in domain.objects:
            found = domain.objects[name]
            return make_refnode(
                app.builder, node["refdoc"], found.docname, found.node_id, contnode, name
            )
    # A type of an annotation may be of any project; what a docstring names must be there.
    ours = target.rpartition(".")[2] in app.all_names
    return contnode if ours or node["reftype"] in ("class", "exc", "obj") else None


def all_names():
    """Every name that a module of the package has, or a class there as a member."""
    names = set()
    for module in [m for name, m in sys.modules.items() if name.split(".")[0] == "mmdeepcluster"]:
        names.add(module.__name__.rpartition(".")[2])
        for name, found in vars(module).items():
            names.add(name)
            if isinstance(found, type) and found.__module__ == module.__name__:
                names.update(dir(found))
                names.update(getattr(getattr(found.__init__, "__code__", None), "co_names", ()))
    return names


def write_mathml(writer, node):
    """An equation that a browser draws by itself."""
    display = node.tagname == "math_block"
    markup = convert(node.astext(), display="block" if display else "inline")
    label = f'<span class="eqno" id="{escape(node["ids"][0])}"></span>' if node["ids"] else ""
    writer.body.append(f'<div class="math">{label}{markup}</div>' if display else markup)
    raise _SKIP


def setup(app):
    """Registers the above."""
    from docutils.nodes import SkipNode

    global _SKIP
    _SKIP = SkipNode
    app.public_names = public_names()
    app.all_names = all_names()
    app.add_html_math_renderer("mathml", (write_mathml, None), (write_mathml, None))
    app.connect("source-read", read_source)
    app.connect("missing-reference", find_public)
