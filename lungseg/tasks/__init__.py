"""LightningModules: the steps of one task. They are handed modules and never read config or paths."""
