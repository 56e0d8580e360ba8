"""The postprocessing with the best mean Dice on the validation images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Step = Callable[[npt.NDArray[Any]], npt.NDArray[np.bool_]]
Sums = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]] | None


class PostprocessSearch:
    """Compares chains of postprocessing steps by their mean Dice; for validation images only.

    Kept are the sums over images, so the memory does not grow with their number. Chains that begin with the same step
    objects share the work as far as they agree with the one before them.

    Dice and its undefined case are those of `lungseg.metrics.overlap.dice`; the mean over images is taken for each
    structure, then over structures.

    Args:
        candidates: name -> steps, the first of which takes probabilities (K, h, w) float32 and gives masks (K, h, w)
            bool, each further one takes and gives masks.

    Raises:
        ValueError: there is no candidate, or one without steps.

    Example:
        >>> from lungseg.postprocess.threshold import Threshold
        >>> search = PostprocessSearch(candidates={"half": [Threshold()], "third": [Threshold(value=0.3)]})
        >>> search.update(np.array([[[0.2, 0.4, 0.9]]], dtype=np.float32), np.array([[[0, 1, 1]]]) > 0)
        >>> search.best()
        ('third', 1.0)
    """

    def __init__(self, *, candidates: Mapping[str, Sequence[Step]]) -> None:
        if not candidates or any(not steps for steps in candidates.values()):
            lengths = {name: len(steps) for name, steps in candidates.items()}
            msg = f"candidates have {lengths} steps: there must be one candidate at least, and one step in each"
            raise ValueError(msg)
        self.candidates = {name: tuple(steps) for name, steps in candidates.items()}
        self._sums: npt.NDArray[np.float64] | None = None
        self._defined = np.zeros((0, 0), np.int64)

    def update(
        self,
        probability: npt.NDArray[np.float32],
        mask: npt.NDArray[np.bool_],
        valid: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Add one image.

        Args:
            probability: (K, h, w) float32 in [0, 1].
            mask: reference, (K, h, w) bool.
            valid: (h, w) bool, False = pixel left out of the Dice; None = all count. The steps see the whole image.

        Raises:
            ValueError: a shape does not fit the others or those of the images before.
        """
        if self._sums is None:
            self._sums = np.zeros((len(self.candidates), len(probability)))
            self._defined = np.zeros(self._sums.shape, np.int64)
        structures = self._sums.shape[1]
        if probability.shape != mask.shape or probability.ndim != 3 or len(probability) != structures:
            msg = (
                f"probabilities have shape {probability.shape} and the mask {mask.shape}: "
                f"both must be ({structures}, h, w)"
            )
            raise ValueError(msg)
        if valid is not None and valid.shape != mask.shape[1:]:
            msg = f"valid has shape {valid.shape}, but the mask {mask.shape}"
            raise ValueError(msg)
        reference = mask.astype(bool, copy=False)
        if valid is not None:
            reference = reference & valid
        inside = np.count_nonzero(reference, axis=(1, 2))
        done: list[tuple[Step, npt.NDArray[np.bool_]]] = []
        for i, steps in enumerate(self.candidates.values()):
            found = self._run(probability, steps, done)
            if valid is not None:
                found = found & valid
            size = np.count_nonzero(found, axis=(1, 2)) + inside
            overlap = np.count_nonzero(found & reference, axis=(1, 2))
            defined = size > 0
            self._sums[i] += np.divide(2 * overlap, size, out=np.zeros(structures), where=defined)
            self._defined[i] += defined

    def sums(self) -> Sums:
        """Return what was added up so far: sums and counts of the Dice, (candidates, K) each; None of no image."""
        return None if self._sums is None else (self._sums, self._defined)

    def merge(self, others: Iterable[Sums]) -> None:
        """Add the images of searches of other processes, given by their `sums`."""
        for other in others:
            if other is None:
                continue
            if self._sums is None:
                self._sums, self._defined = np.zeros_like(other[0]), np.zeros_like(other[1])
            self._sums = self._sums + other[0]
            self._defined = self._defined + other[1]

    def dice(self) -> dict[str, float]:
        """Return the mean Dice of each candidate; NaN where no image defines one."""
        if self._sums is None:
            return dict.fromkeys(self.candidates, float("nan"))
        found = {}
        for name, sums, defined in zip(self.candidates, self._sums, self._defined, strict=True):
            known = defined > 0
            found[name] = float((sums[known] / defined[known]).mean()) if known.any() else float("nan")
        return found

    def best(self) -> tuple[str, float]:
        """Return the candidate with the highest mean Dice, and that Dice; among equals the first.

        Raises:
            ValueError: no image with a structure in it was added.
        """
        known = {name: dice for name, dice in self.dice().items() if not np.isnan(dice)}
        if not known:
            msg = "no postprocessing can be chosen: no validation image holds a structure or a prediction"
            raise ValueError(msg)
        highest = max(known.values())
        # sums of the same Dice values can differ in the last bits from candidate to candidate
        return next((name, dice) for name, dice in known.items() if dice >= highest - 1e-12)

    @staticmethod
    def _run(
        probability: npt.NDArray[np.float32],
        steps: tuple[Step, ...],
        done: list[tuple[Step, npt.NDArray[np.bool_]]],
    ) -> npt.NDArray[np.bool_]:
        """Run a chain; `done` holds the steps and results of the chain before, and afterwards those of this one."""
        shared = 0
        while shared < min(len(steps), len(done)) and steps[shared] is done[shared][0]:
            shared += 1
        del done[shared:]
        for step in steps[shared:]:
            done.append((step, step(done[-1][1] if done else probability)))
        return done[-1][1]
