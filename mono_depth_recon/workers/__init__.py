"""Processes beside this one for work that holds Python's lock for seconds: snapshots, and the map of many frames."""
