"""Checks that a traced network computes what the user's model computes."""
