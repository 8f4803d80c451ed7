"""How images lie in files: one file a format, and the checks of bytes that all of them share."""
