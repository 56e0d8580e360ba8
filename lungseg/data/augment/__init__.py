"""Random augmentation: parameters are a pure function of (seed, epoch, sample)."""
