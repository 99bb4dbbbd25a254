"""How Sphinx makes a site of these pages and the docstrings: `make docs`.

A page under `reference` names packages in a block `public`; the public names of each are put in its
place. One that is on no page fails the build.
"""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import attrs

import stablenew

project = "StableNew"
version = release = version_of("stablenew")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["plan.toml"]

default_role = "py:obj"  # in docstrings, `this` is a name, and a link where it is known
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # else each attribute would be described twice
napoleon_attr_annotations = False  # the signature has them
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "special-members": "__call__"}
autodoc_preserve_defaults = True
myst_heading_anchors = 3

html_theme = "furo"  # brings its own styles and takes the system's fonts: nothing from the network
html_title = f"StableNew {version}"
html_copy_source = False
html_show_sphinx = False

README = Path(__file__).parents[1] / "README.md"
DEFAULT = re.compile(r"attr_dict\['(\w+)'\]\.default")
PUBLIC = re.compile(r"```{public}\n(.*?)```", re.DOTALL)


def setup(app: Any) -> None:
    """Take part in the build."""
    app.connect("source-read", write_source)
    app.connect("autodoc-process-signature", show_defaults)
    app.connect("missing-reference", find_public)
    app.connect("env-check-consistency", check_names)


def write_source(_: object, page: str, source: list[str]) -> None:
    """Begin the first page with the README; put the public names on theirs."""
    if page == "index":
        links = README.read_text().replace("](docs/", "](")
        links = links.replace("](stablenew/backends/embedded/MODEL_CARD.md", "](model_card.md")
        source[0] = links + source[0]
    source[0] = PUBLIC.sub(lambda block: documented(block[1].split()), source[0])


def documented(packages: list[str]) -> str:
    """Return what documents the public names of some packages."""
    names = [
        name
        for package in packages
        for name, home in stablenew._homes().items()
        if f"{home}.".startswith(f"{package}.")
    ]
    return "\n".join(["```{eval-rst}", *map(directive, names), "```"])


def directive(name: str) -> str:
    """Return what Sphinx documents a public name with."""
    value = getattr(stablenew, name)
    if not isinstance(value, type):
        return f".. autofunction:: stablenew.{name}"
    kind = "exception" if issubclass(value, Exception) else "class"
    bases = any(hasattr(stablenew, base.__name__) for base in value.__bases__)
    return f".. auto{kind}:: stablenew.{name}" + "\n   :show-inheritance:" * bases


def show_defaults(*about: Any) -> tuple[str | None, str | None]:
    """Show what attrs makes a constructor's defaults of."""
    *_, kind, _, signature, returned = about
    if signature and isinstance(kind, type) and attrs.has(kind):
        fields = attrs.fields_dict(kind)
        signature = DEFAULT.sub(lambda name: shown(fields[name[1]].default), signature)
        signature = signature.replace("= NOTHING", "= …")
    return signature, returned


def shown(default: object) -> str:
    """Return a default as it is written."""
    return f"{type(default).__name__}()" if attrs.has(type(default)) else repr(default)


def find_public(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Link a name to where it is public: annotations have the module that it lives in."""
    name = str(node.get("reftarget")).rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in stablenew._homes():
        return None
    domain, kind, page = env.get_domain("py"), node["reftype"], node["refdoc"]
    return domain.resolve_xref(env, page, app.builder, kind, f"stablenew.{name}", node, content)


def check_names(_: object, env: Any) -> None:
    """Fail where a public name is not on a page."""
    objects = env.get_domain("py").objects
    missing = [name for name in stablenew._homes() if f"stablenew.{name}" not in objects]
    if missing:
        raise ValueError(f"on no page under docs/reference: {', '.join(missing)}")
