"""Losses: functions of logits and mask or label, computed in float32.

A segmentation loss is called with logits, mask and valid, and says two things of itself: `forms`, whether it takes
sigmoids, a softmax, or either, and `per_image`, whether a batch's loss is the mean of its images (False: it depends on
how images fall into batches, and on how many processes share a batch).

A loss of classes is called with logits and label, and says of itself `kinds`: multiclass, multilabel; and `per_image`.
One whose constructor takes `counts` is given how many training images are of each class.
"""
