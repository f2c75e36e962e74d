"""What recorded trials say: tables of cells, comparisons, critical BERs and maps of harm."""
