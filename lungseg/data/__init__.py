"""From files as published to batches: sources, samples table, splits, store, datamodule."""
