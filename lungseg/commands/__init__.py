"""One file per verb: python -m lungseg <verb>."""
