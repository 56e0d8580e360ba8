"""Deterministic steps that run once, into the store."""
