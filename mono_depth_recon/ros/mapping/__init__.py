"""The node's map of many frames: poses, the thread that feeds it, its process, files and display."""
