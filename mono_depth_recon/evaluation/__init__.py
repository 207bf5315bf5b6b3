"""Models against data sets: what is evaluated, how it is scored, what is written."""
