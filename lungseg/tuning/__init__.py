"""The search for good values: a space of overrides, trials in processes of their own, and their book."""
