"""Label conventions: what counts as lung differs between data sets, and scores across them hold that difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lungseg.report.reader import Run
from lungseg.report.wording import listed, source_name

SAID = {
    "without_heart": "leave out the part of the lungs behind the heart",
    "with_heart": "include the part of the lungs behind the heart",
}
BRIEF = {
    "without_heart": "lungs without the part behind the heart",
    "with_heart": "lungs with the part behind the heart",
}


def conventions(value: object, sources: Sequence[str]) -> dict[str, str]:
    """Read a convention as it stands in data.json or metrics.json.

    Args:
        value: one convention for all sources, or a mapping from source to convention; anything else is unknown.
        sources: the sources that it is asked for.

    Returns:
        source -> convention, for the sources whose convention is known.

    Example:
        >>> conventions("with_heart", ["a", "b"]), conventions({"a": "with_heart", "b": None}, ["a", "b"])
        ({'a': 'with_heart', 'b': 'with_heart'}, {'a': 'with_heart'})
    """
    if isinstance(value, Mapping):
        return {name: str(value[name]) for name in sources if value.get(name)}
    return dict.fromkeys(sources, value) if isinstance(value, str) and value else {}


def conventions_trained(run: Run) -> dict[str, str]:
    """Convention of the masks, by source, that the run's net was trained on."""
    named = run.metrics.get("trained_convention")
    if named is None and run.verb == "train":
        named = run.data.get("convention")
    return conventions(named, run.trained_on())


def conventions_tested(run: Run) -> dict[str, str]:
    """Convention of the masks, by source, that the run was scored against."""
    tested = sorted({scores.source for scores in run.scores() if scores.source != "all"})
    return conventions(run.data.get("convention"), tested)


def convention_fact(run: Run) -> str:
    """The convention of the run's own data in a few words, set by set where they differ."""
    sources = run.data.get("sources")
    found = conventions(run.data.get("convention"), list(sources) if isinstance(sources, Mapping) else [])
    brief = {name: BRIEF.get(convention, convention) for name, convention in found.items()}
    if len(set(brief.values())) == 1:
        return next(iter(brief.values()))
    return "; ".join(f"{source_name(name)}: {text}" for name, text in brief.items())


def mixed(run: Run) -> str:
    """A sentence when a net was trained on masks of several conventions, else nothing."""
    found = conventions_trained(run)
    if run.verb != "train" or len(set(found.values())) < 2:
        return ""
    return (
        f"This run was trained on masks of two conventions: {each(found)}. One net cannot satisfy both, so its scores "
        "are bounded by the difference of the labels."
    )


def crossed(run: Run) -> str:
    """A sentence when the tested masks are of another convention than the trained ones, else nothing."""
    trained = conventions_trained(run)
    other = others(trained, conventions_tested(run))
    if not other:
        return ""
    return (
        f"The labels of test and training differ: {each(other)}. The net was trained on others: {each(trained)}. So "
        "the scores hold a difference of the labels besides the errors of the net."
    )


def others(trained: Mapping[str, str], tested: Mapping[str, str]) -> dict[str, str]:
    """The tested sources whose convention is none of those that the net was trained on; none where that is unknown."""
    known = set(trained.values())
    return {name: convention for name, convention in tested.items() if known and convention not in known}


def each(found: Mapping[str, str]) -> str:
    """Say what each convention is, and of which sets."""
    groups: dict[str, list[str]] = {}
    for name, convention in found.items():
        groups.setdefault(convention, []).append(source_name(name))
    return listed(
        [
            f"the masks of {listed(names)} {SAID.get(convention, f'follow the convention {convention}')}"
            for convention, names in groups.items()
        ]
    )
