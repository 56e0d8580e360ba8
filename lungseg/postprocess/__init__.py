"""From probabilities to masks; chosen on validation, kept in the checkpoint."""
