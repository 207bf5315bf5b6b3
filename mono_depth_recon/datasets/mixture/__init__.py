"""Several data sets together, as a training sees them: settings, splits, weights, checks."""
