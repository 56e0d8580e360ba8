"""Balancing classes and patients, on the training part only: what is left out, or how often a sample is drawn."""
