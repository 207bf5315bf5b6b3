"""The mesh of a cloud: surfaces, the last steps of any mesh, files, texture, and quality."""
