"""Data sets as sequences of `Sample`: recorded ones, folders of images, and synthetic rooms."""
