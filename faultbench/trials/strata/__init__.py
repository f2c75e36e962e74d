"""Stratified trials: a pilot that finds harmful bits, and a design that allocates trials to strata."""
