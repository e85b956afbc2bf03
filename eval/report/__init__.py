"""A report: one self-contained HTML page about a run, for people who were not there.

    readers/    a module a kind of run: what lies in its folder becomes a `Chapter` of blocks
    charts/     drawings as inline SVG
    page/       the template, the style sheet and the script that browses records
    blocks      what a chapter is made of; a macro of the template for each
    browsing    texts with what was said of them, as data that the page's script shows a page at a time
    words       numbers, times and untrusted text in words
    rendering   chapters to HTML

Readers take plain data from disk and count again what can be counted, so that a page says what the records say. Nothing
is asked of a model and nothing is written but the page.

Invariants: the page asks for nothing from anywhere (its own policy forbids it); every text is escaped, wherever it came
from, and what cannot be seen in it is named; the same run gives the same bytes; a run that was stopped says so first.
"""
