"""Reads run folders and writes reports. Imports no torch."""
