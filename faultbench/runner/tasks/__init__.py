"""Tasks that engines hand to workers, and the code that workers run for them."""
