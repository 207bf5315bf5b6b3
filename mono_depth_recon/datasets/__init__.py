"""Data sets as sequences of `Sample`: recorded ones and synthetic rooms."""
