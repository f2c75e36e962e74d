"""How memory holds a value: number formats, one family a file."""
