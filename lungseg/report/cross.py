"""The cross-data-set table: trained on one set, tested on another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lungseg.report.blocks import Cell, Column, Table
from lungseg.report.convention import conventions_tested, conventions_trained, each, others
from lungseg.report.reader import Run, Scores
from lungseg.report.wording import capital, count, decimal, listed, part_name, source_name, span, structure_name

# Published sets that are made of one another's radiographs, in whole or in part: a net trained on one has seen others'.
SHARED = {
    "mc_sh": {"montgomery", "shenzhen"},
    "covid_qu_ex": {"qatar_covid", "v7_darwin"},
    "qatar_covid": {"v7_darwin"},
}


@dataclass
class _Net:
    """One trained network with the scores of every set that it was tested on."""

    trained_on: tuple[str, ...]
    name: str
    scores: dict[str, Scores] = field(default_factory=dict)
    trained: dict[str, str] = field(default_factory=dict)
    tested: dict[str, str] = field(default_factory=dict)

    @property
    def other_labels(self) -> frozenset[str]:
        """Sets whose masks are of another convention than those that the network was trained on."""
        return frozenset(others(self.trained, self.tested)) & frozenset(self.scores)


def cross_table(runs: Sequence[Run], structure: str) -> Table | None:
    """Dice of each trained network (rows) on each set (columns).

    A network's row gathers its own training run and every `evaluate` run of its checkpoint. Test figures go before
    validation figures, which are labelled.

    Args:
        runs: training and evaluation runs.
        structure: the structure that is scored.

    Returns:
        The table; None when there is a single set or nothing was scored.
    """
    nets = _nets(runs, structure)
    tested = {source for net in nets for source in net.scores}
    if len(tested) < 2:
        return None
    first = list(dict.fromkeys(source for net in nets for source in net.trained_on if source in tested))
    order = first + sorted(tested - set(first))
    means = [s.metric("dice").mean for net in nets for s in net.scores.values()]
    means = [mean for mean in means if math.isfinite(mean)]
    columns = (
        Column("Trained on", numeric=False),
        *(Column(source_name(source), group="Tested on") for source in order),
    )
    rows = tuple(
        (
            Cell(listed([source_name(source) for source in net.trained_on]) or "not known", sub=net.name),
            *(_cell(net, source, means) for source in order),
        )
        for net in nets
    )
    note = (
        "Mean Dice, [95 % interval over patients], number of images. Outlined: a set that the net was trained on, "
        "other patients of it, or one that shares radiographs with such a set; the rest are external tests. Stronger "
        "colour: the greater figure of this table."
    )
    if any(net.other_labels for net in nets):
        known = {name: convention for net in nets for name, convention in (net.trained | net.tested).items()}
        note += f" Other labels: the masks define the lungs otherwise than those trained on ({each(known)})."
    return Table(columns, rows, caption=capital(structure_name(structure)), note=note)


def overlap(trained: str, tested: str) -> bool:
    """Whether two sets share radiographs.

    Example:
        >>> overlap("mc_sh", "montgomery"), overlap("v7_darwin", "qatar_covid"), overlap("jsrt", "montgomery")
        (True, True, False)
    """
    return trained == tested or tested in SHARED.get(trained, set()) or trained in SHARED.get(tested, set())


def _nets(runs: Sequence[Run], structure: str) -> list[_Net]:
    nets: dict[str, _Net] = {}
    for run in sorted(runs, key=lambda run: run.verb != "train"):
        parts = [part for part in ("test", "val") if run.has(part)]
        named = run.metrics.get("trained_run")
        trained = Path(str(named)) if named and run.verb != "train" else run.folder
        net = nets.setdefault(str(trained.resolve()), _Net(run.trained_on(), trained.resolve().name))
        net.trained |= conventions_trained(run)
        net.tested |= conventions_tested(run)
        for part in parts:
            for scores in run.scores():
                if (scores.part, scores.structure) == (part, structure) and scores.source != "all":
                    net.scores.setdefault(scores.source, scores)
    return [net for net in nets.values() if net.scores]


def _cell(net: _Net, source: str, means: Sequence[float]) -> Cell:
    scores = net.scores.get(source)
    if scores is None:
        return Cell("–", tone="muted")
    found = scores.metric("dice")
    width = max(means, default=0.0) - min(means, default=0.0)
    heat = (found.mean - min(means)) / width if width > 0 and math.isfinite(found.mean) else None
    part = "" if scores.part == "test" else f", {part_name(scores.part)}"
    part += ", other labels" if source in net.other_labels else ""
    return Cell(
        decimal(found.mean),
        sub=f"{span(found.low, found.high)} n = {count(scores.n)}{part}".strip(),
        heat=heat,
        ring=any(overlap(trained, source) for trained in net.trained_on),
    )
