"""An executed notebook as one HTML page that needs no network: formulas are MathML, pictures are in
the page, widgets are their text, links between notebooks lead to pages.
"""

from __future__ import annotations

import html
import re
import warnings
from pathlib import Path

import nbformat
from jinja2 import DictLoader, pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# No scripts but those in outputs: a tree to step through brings its own.
TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_css -%}
{{ resources.include_css("static/theme-dark.css")
   | replace('<style type="text/css">', '<style media="(prefers-color-scheme: dark)">') }}
<style>{{ resources.page_style }}</style>
{%- endblock -%}
{%- block body_header -%}{{ super() }}{{ resources.page_links }}{%- endblock -%}
{%- block body_footer -%}{{ resources.page_links }}{{ super() }}{%- endblock -%}
{%- block footer -%}</html>{%- endblock -%}
{%- block data_png -%}
<div class="jp-RenderedImage jp-OutputArea-output">
<img alt="{{ output | page_alt | e }}"
  src="data:image/png;base64,{{ output.data['image/png'] | e }}">
</div>
{%- endblock -%}
"""

STYLE = """
:root { color-scheme: light dark; --page-link: #0b57c9; }
@media (prefers-color-scheme: dark) { :root { --page-link: #8ab8ff; } }
body.jp-Notebook { max-width: 60rem; margin: 0 auto; padding: 0 1rem 2rem; height: auto;
  background: var(--jp-layout-color0); color: var(--jp-content-font-color1); }
html { background: var(--jp-layout-color0); }
.jp-InputPrompt, .jp-OutputPrompt { display: none; }
.jp-Cell { padding: .2rem 0; }
.jp-RenderedHTMLCommon { font-size: 1rem; line-height: 1.55; }
.jp-RenderedImage img { max-width: 100%; height: auto; }
.jp-OutputArea-output { overflow-x: auto; }
math { font-size: 1.08em; }
math[display=block] { overflow-x: auto; margin: .8em 0; }
nav.page { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; padding: .8rem .3rem;
  font: .95rem system-ui, sans-serif; }
nav.page a { color: var(--page-link); text-decoration: none; }
nav.page a:hover { text-decoration: underline; }
nav.page .next { margin-left: auto; text-align: right; }
"""


def alt_text(output: dict) -> str:
    """What a figure says to who cannot see it: its own `alt`, or its title."""
    of_picture = output.get("metadata", {}).get("image/png", {})
    for metadata in (of_picture, output.get("metadata", {})):
        for name in ("alt", "title"):
            if metadata.get(name):
                return str(metadata[name])
    text = "".join(output.get("data", {}).get("text/plain", ""))
    # `<Figure size 600x400 with 1 Axes>` says nothing; a sentence of the figure's own does.
    return "A figure of this notebook" if not text or text.startswith("<") else text


def mathml(formula: str, display: str = "inline") -> str:
    """A TeX formula as MathML; one that cannot be read stays TeX, with a warning."""
    try:
        # The one operator of TeX that the converter does not know.
        known = re.sub(r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}", formula.strip())
        converted = convert(known, display=display)
        if unknown := re.search(r">(\\[A-Za-z]+)<", converted):
            raise ValueError(f"{unknown[1]} is unknown")
        return converted
    except Exception as error:  # the converter raises many kinds
        warnings.warn(
            f"the formula {formula.strip()!r} stays TeX ({type(error).__name__} {error})",
            stacklevel=2,
        )
        return f"<code>{html.escape(formula.strip())}</code>"


class _Renderer(IPythonRenderer):
    """Markdown to HTML with formulas as MathML."""

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")


class _Exporter(HTMLExporter):
    """nbconvert's exporter with this renderer and template."""

    @pass_context
    def markdown2html(self, context, source):
        return MarkdownWithMath(renderer=_Renderer(escape=False)).render(source)


def markdown_html(source: str) -> str:
    """Markdown as HTML, formulas as MathML."""
    return MarkdownWithMath(renderer=_Renderer(escape=False)).render(source)


def page(
    path: Path, before: tuple[str, str] | None = None, after: tuple[str, str] | None = None
) -> str:
    """The page of an executed notebook.

    Args:
        before, after: stem and title of the neighbors, for the links on top and at the end.
    """
    notebook = nbformat.read(path, 4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [_static(output) for output in cell.outputs]
            cell.outputs = [output for output in cell.outputs if output.get("data", True)]
    exporter = _Exporter(
        extra_loaders=[DictLoader({"page.html.j2": TEMPLATE})], template_file="page.html.j2"
    )
    exporter.register_filter("page_alt", alt_text)
    resources = {
        "metadata": {"name": title_of(notebook) or path.stem},
        "page_links": _links(before, after),
        "page_style": STYLE,
    }
    text, _ = exporter.from_notebook_node(notebook, resources)
    return linked(text)


def _static(output: dict) -> dict:
    """An output without what asks for scripts or is for `o1lib run` alone."""
    for kind in list(output.get("data", {})):
        if any(word in kind for word in ("widget", "javascript", "vnd.o1lib")):
            del output["data"][kind]
    return output


def linked(text: str) -> str:
    """HTML in which links to notebooks beside it lead to their pages."""
    return re.sub(r'href="(?!\w+:)([^"#]+)\.ipynb(#[^"]*)?"', r'href="\1.html\2"', text)


def title_of(notebook: dict) -> str | None:
    """The first heading of a notebook."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            found = re.search(r"^#\s+(.+)$", "".join(cell["source"]), re.M)
            if found:
                return found[1].strip()
    return None


def _links(before, after) -> str:
    def link(neighbor, text: str, kind: str) -> str:
        stem, title = neighbor
        shown = text.format(html.escape(title))
        return f'<a class="{kind}" rel="{kind}" href="{html.escape(stem)}.html">{shown}</a>'

    parts = ['<a href="index.html">All notebooks</a>']
    parts += [link(before, "← {}", "prev")] if before else []
    parts += [link(after, "{} →", "next")] if after else []
    return f'<nav class="page" aria-label="Notebooks">{"".join(parts)}</nav>'
