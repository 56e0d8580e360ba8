"""What writes the run folder, one class per file."""
