"""Tracing of a model into a graph in which every activation is a site and no value changes once computed."""
