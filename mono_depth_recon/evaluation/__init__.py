"""Evaluation of models on data sets: what is evaluated, how it is scored, which files are written."""
