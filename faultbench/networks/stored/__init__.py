"""What of a network lies in memory: which tensors, of which kind, and which of them faults can hit."""
