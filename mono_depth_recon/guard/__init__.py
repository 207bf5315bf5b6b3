"""Whether a frame can be believed: the quality of its image, and its depth against that of the frame before.

`quality` judges one image. Depth is compared between two frames at corners that are tracked from one to the other
(`comparison`): the camera's motion is fitted to them with the depth of the earlier frame (`motion`). It is thus in the
unit of that depth and predicts the depth of every corner in the later frame, also where the camera moves forward or
turns. What the later depth differs by is no motion: the median log ratio is a change of scale, the spread around it a
change of structure (`drift`). Things that move by themselves do not agree with the motion and are left out. Where too
few corners agree on one motion (another scene, nothing to track) nothing is known, and no jump is reported. `smoothing`
is the optional temporal filter; `guard` puts these together for one camera, `per_camera` keeps one for each.
"""
