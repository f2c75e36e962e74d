"""Preparing, running, checking and replaying campaigns."""
