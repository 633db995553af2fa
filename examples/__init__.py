"""Programs to learn from; run them from the root of the repository.

A regular package on purpose: a folder without this file would lose to any
installed distribution that happens to bring a top-level ``examples`` along.
"""
