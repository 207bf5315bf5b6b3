"""Training of the models: run from the top of the repository as `python -m training.<script>`."""
