"""Memory of a network: how it holds values, which of its bits fault, and what fault models and formats build on."""
