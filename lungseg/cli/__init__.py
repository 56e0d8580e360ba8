"""The command line: help, the check of overrides before anything runs, run folders."""
