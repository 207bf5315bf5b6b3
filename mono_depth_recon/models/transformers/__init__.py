"""Depth models of the library transformers, a module per family.

`families` lists the families; each is a module with one class, a `family.Family`, that holds all that differs between
them. `checkpoint` describes one published model of a family, `loading` makes a model of a checkpoint, `model` runs it,
and `network` is the part that needs torch.
"""
