"""Networks: image in, logits out. They know nothing of data, losses or training."""
