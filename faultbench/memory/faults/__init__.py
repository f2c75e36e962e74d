"""Faults in memory: where they can be, which ones a trial has, and putting them in and taking them out."""
