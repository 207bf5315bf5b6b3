"""The mesh of a cloud: surfaces, the last steps of any mesh, files, texture, and what can be said about a mesh."""
