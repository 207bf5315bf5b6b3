"""The node's map of many frames: poses, the worker process, what is shown."""
