"""NYU Depth V2 (Silberman et al., ECCV 2012) in its two layouts."""
