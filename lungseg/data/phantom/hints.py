"""Which signs of the label stand outside the lungs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from lungseg.data.phantom.anatomy import LABELS, Label
from lungseg.errors import ConfigError, near_name

Kind = Literal["usual", "none", "mark"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_KEY = "data.sources.phantom"


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What a picture tells of its label outside the lungs.

    Attributes:
        kind: "usual", as in a hospital: leads and tubes are commoner on the ill, who more often lie (AP), and the film
            is processed by what the lungs show. "none": every pixel outside the lungs, and the lungs' outline, are
            those of the same patient in health. "mark": as "none", and a small bright square is burnt into the lower
            right corner, by chance.
        mark_label: the label that the square follows.
        mark_chance: chance of the square in [0, 1] where the label is `mark_label`.
        mark_chance_others: the same where it is another.

    Raises:
        ConfigError: a value is none of these.
    """

    kind: Kind = "usual"
    mark_label: Label = "bilateral"
    mark_chance: float = 0.9
    mark_chance_others: float = 0.05

    def __post_init__(self) -> None:
        for key, value, known in (("hints", self.kind, KINDS), ("mark_label", self.mark_label, LABELS)):
            if value not in known:
                near = near_name(str(value), known)
                hint = f"did you mean {near}? " if near else ""
                raise ConfigError(f"{_KEY}.{key}={value}: {hint}It is one of {', '.join(known)}")
        for key, chance in (("mark_chance", self.mark_chance), ("mark_chance_others", self.mark_chance_others)):
            if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance <= 1:
                raise ConfigError(f"{_KEY}.{key}={chance} is a chance: a number from 0 to 1")

    def chance_of_mark(self, label: Label) -> float:
        """Chance of the square in a picture of this label; 0 unless `kind` is "mark"."""
        if self.kind != "mark":
            return 0.0
        return self.mark_chance if label == self.mark_label else self.mark_chance_others
