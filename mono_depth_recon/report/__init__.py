"""The report of an evaluation: one HTML page and its pictures."""
