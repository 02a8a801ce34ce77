"""The report of an evaluation: one HTML file with tables, figures, an image viewer and the provenance.

Contract: the file is all there is. It loads nothing from the network or the disk, and a content security policy forbids
it to; the same page gives the same bytes; text of the page is shown as text, whatever characters it has. Everything but
the viewer works without JavaScript.
"""

from oidn_jax.evaluation.html.content import Figure, Page, Table
from oidn_jax.evaluation.html.page import write_report

__all__ = ["Figure", "Page", "Table", "write_report"]
