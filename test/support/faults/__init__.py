"""Faults on purpose: processes that are killed while they write (`python -m faults`, or `make faults`)."""
