"""One map of many frames along poses."""
