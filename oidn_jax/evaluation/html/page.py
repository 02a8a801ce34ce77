"""Puts the sections of a report, its style and its script into one file."""

import base64
import hashlib
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from oidn_jax.data.atomic import write_atomically
from oidn_jax.evaluation.html.content import Page
from oidn_jax.evaluation.html.sections import figures_html, provenance_html, summary_html, tables_html, viewer_data


def write_report(path: Path, page: Page) -> None:
    """Writes the page as one self-contained HTML file, complete or not at all; an existing file is replaced.

    Args:
        path: of the file; its folder is created.
        page: what to show.

    Raises:
        InputError: the file cannot be written, or a figure is not a PNG.
        OSError: the file of a figure cannot be read.
        ValueError: a table has a row that is longer or shorter than its header.
    """
    content = _render(page).encode("utf-8")
    write_atomically(path, lambda partial: partial.write_bytes(content), n_bytes=len(content))


def _render(page: Page) -> str:
    style = _resource("style.css")
    script = _resource("viewer.js") if page.examples else ""
    bodies = {
        "Summary": summary_html(page.summary),
        "Tables": tables_html(page.tables),
        "Images": Template(_resource("viewer.html")).substitute(data=viewer_data(page.examples)) if script else "",
        "Figures": figures_html(page.figures),
        "Provenance": provenance_html(page.provenance),
    }
    shown = {heading: body for heading, body in bodies.items() if body}
    return Template(_resource("page.html")).substitute(
        policy=_policy(style, script),
        title=escape(page.title),
        style=style,
        contents="\n".join(f'<li><a href="#{name.lower()}">{name}</a></li>' for name in shown),
        sections="\n".join(_section(heading, body) for heading, body in shown.items()),
        script=f"<script>{script}</script>" if script else "",
    )


def _policy(style: str, script: str) -> str:
    """Nothing is loaded, nothing is sent; embedded pictures and exactly this style and this script are allowed."""
    rules = ["default-src 'none'", "img-src data:", f"style-src {_hash(style)}"]
    if script:
        rules.append(f"script-src {_hash(script)}")
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _section(heading: str, body: str) -> str:
    name = heading.lower()
    return f"""<section id="{name}" aria-labelledby="{name}-heading">
<h2 id="{name}-heading">{heading}</h2>
{body}
</section>"""


def _resource(name: str) -> str:
    return resources.files("oidn_jax.evaluation.html").joinpath(name).read_text(encoding="utf-8")
