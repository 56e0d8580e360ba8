"""Parts by fractions of the images, every class in the same proportions, patients kept together."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import ClassVar

import numpy as np

from lungseg.data.labels import tokens_of
from lungseg.data.splits.base import PARTS, By, Split, check_choice, check_fractions, groups_of, seeded_order
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError

_COLUMNS = ("label", "source", "sex", "view")


class StratifiedSplit(Split):
    """A random split whose parts hold the stated fractions of all images and of the images of every class.

    `HoldoutSplit` shares out patients; where some have many images of one class, its parts differ in images and in
    classes. This one shares out images, patient by patient: those with the most images first, each to the part where
    the shares come nearest to what is asked for. Let a part have A images of a class so far, let T be its fraction of
    all n, and let the patient bring g: the patient goes where the sum over the classes of

        ((A + g - T)^2 - (A - T)^2) / (n T)

    is least: the increase of the squared distance, relative to part and class. All images together count as one class
    more. Patients of one image are thereby shared out as seats by Sainte-Lague's method, so that every part is right to
    within an image or so of each class. Those with the most images are more often in the largest part.

    An image may be of several classes (`Effusion|Mass`) and counts for each. Images of which nothing is known are a
    class of their own.

    Args:
        train: Fraction of the images for training.
        val: Fraction for validation.
        test: Fraction for testing. The three add up to 1.
        by: `subject` keeps a patient's images together; `sample` does not, and training then needs allow_leakage=true
            where patients have several.
        stratify: Column whose values are the classes: label, source, sex or view.
    """

    strategy: ClassVar[str] = "stratified"

    def __init__(
        self,
        *,
        train: float = 0.7,
        val: float = 0.15,
        test: float = 0.15,
        by: By = "subject",
        stratify: str = "label",
    ) -> None:
        self.fractions = check_fractions(train, val, test)
        check_choice("split.by", by, ("subject", "sample"))
        check_choice("split.stratify", stratify, _COLUMNS)
        self.by = by
        self.stratify = stratify

    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part.

        Raises:
            DataError: There are fewer patients than parts.
        """
        wanted = {part: fraction for part, fraction in self.fractions.items() if fraction > 0}
        groups = groups_of(table, self.by)
        counts = self._counts(table, groups)
        if len(counts) < len(wanted):
            msg = (
                f"{len(counts)} patients cannot fill the {len(wanted)} parts {', '.join(wanted)} of the split; use "
                "more data, or set a fraction to 0"
            )
            raise DataError(msg)
        given = _share_out(counts, np.array(list(wanted.values())), seed)
        names = [part for part in PARTS if part in wanted]
        return np.array([names[given[group]] for group in groups], dtype="<U6")

    def _counts(self, table: SamplesTable, groups: list[str]) -> dict[str, np.ndarray]:
        """Group -> (1 + C,) number of its images, and of its images of each class."""
        values = [self._classes(value) for value in table.column(self.stratify).to_pylist()]
        columns = {
            name: place for place, name in enumerate(sorted({name for held in values for name in held}), start=1)
        }
        counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(1 + len(columns)))
        for group, held in zip(groups, values, strict=True):
            counts[group][0] += 1
            for name in held:
                counts[group][columns[name]] += 1
        return dict(counts)

    def _classes(self, value: str | None) -> tuple[str, ...]:
        """The classes of one image; nothing known is a class too."""
        if self.stratify == "label":
            return tokens_of(value) or ("",)
        return (value or "",)


def _share_out(counts: dict[str, np.ndarray], fractions: np.ndarray, seed: int) -> dict[str, int]:
    """Group -> place of its part in `fractions`.

    Groups of equal size come in seeded order. Parts that are equally good are taken in order. A part that nothing fell
    to, in a small set, gets the smallest group of the part that has the most.
    """
    total = np.sum(list(counts.values()), axis=0)
    target = fractions[:, None] * total
    had = np.zeros_like(target)
    order = seeded_order(counts, seed)
    order.sort(key=lambda group: -counts[group][0])  # stable
    given: dict[str, int] = {}
    for group in order:
        brought = counts[group]
        increase = (brought * (2 * (had - target) + brought) / (total * target)).sum(axis=1)
        # rounding must not choose between parts that are equally good
        part = int(np.flatnonzero(increase <= increase.min() + 1e-12)[0])
        had[part] += brought
        given[group] = part
    for part in range(len(fractions)):
        held = Counter(given.values())
        if not held[part]:
            rich = max(held, key=lambda place: held[place])
            given[next(group for group in reversed(order) if given[group] == rich)] = part
    return given
