"""Counts first: every overlap metric is a function of TP, FP, FN and TN per image and structure."""
