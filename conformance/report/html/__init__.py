"""The report for people: one static HTML file of results, of a comparison or of an exchange.

    results ──of_run, of_comparison, of_exchange──> Page ──render──> text of the file

Everything here is pure: it reads values and returns values; faces read and write the files.
"""

from conformance.report.html.of_comparison import of_comparison
from conformance.report.html.of_exchange import of_exchange
from conformance.report.html.of_run import of_run
from conformance.report.html.page import render
from conformance.report.html.view import Known, Page

__all__ = ["Known", "Page", "of_comparison", "of_exchange", "of_run", "render"]
