"""Number formats, one family per file: how memory holds a value."""
