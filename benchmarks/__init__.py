"""Figures that the issues set bars for, measured side by side with peers or with the machine's floor.

`python -m benchmarks [NAME...]` runs all or the named families and rewrites their part of RESULTS.md. A family
is a module here whose name does not begin with `_`; it has a docstring (its first line is the heading) and
`rows()`, which yields a `Row` a figure. Whatever records does so in a fresh process with a store of its own.
"""
