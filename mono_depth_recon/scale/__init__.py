"""Where the metres of a relative model come from: one object per source (`table`), which uses `evidence`."""
