"""Shared parts of fitting: profiles, training of bounds, effort, and checks of the fitted bounds."""
