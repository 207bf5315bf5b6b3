"""The settings of property tests: few examples, the same in every run, and no limit of time."""

from __future__ import annotations

from hypothesis import settings

QUICK = settings(max_examples=40, derandomize=True, deadline=None, database=None)
