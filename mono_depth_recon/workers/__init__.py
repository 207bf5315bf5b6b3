"""Worker processes for steps that hold Python's global lock for seconds: snapshots, and the map of many frames."""
