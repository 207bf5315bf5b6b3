"""Images of depth, clouds and meshes."""
