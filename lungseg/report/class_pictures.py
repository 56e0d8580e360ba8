"""The pictures of a classification: the worst cases, and training images before and after preprocessing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from lungseg.report.blocks import Block, Gallery, Picture, Text
from lungseg.report.class_tables import class_samples
from lungseg.report.pictures import read_pictures
from lungseg.report.reader import Run
from lungseg.report.wording import decimal, listed, some, source_name, to_float

NAMED = 3
"""Classes named in one caption; of more the number is said."""


def worst_pictures(run: Run, part: str) -> tuple[list[Block], list[str]]:
    """The images of one part with the highest loss as the network saw them, the highest first.

    Args:
        run: the run whose overlays/ is read.
        part: part of the split.

    Returns:
        A gallery with a line above it, or nothing; and a note for each picture that is missing or damaged.
    """
    found, notes = read_pictures(
        run, [each for each in run.overlays if (each.get("part"), each.get("rank")) == (part, "worst")]
    )
    samples = class_samples(run, part)
    rows = {} if samples is None else {str(row["sample_id"]): row for _, row in samples.iterrows()}
    pictures = [_case(run, entry, uri, path, rows.get(str(entry.get("sample_id")))) for entry, uri, path in found]
    if not pictures:
        return [], notes
    said = (
        "As the net saw them. Bold: what is true; then what was predicted, with its probability, and in brackets the "
        "probability of what is true."
    )
    return [Text(said), Gallery("", tuple(pictures), size="small")], notes


def example_blocks(run: Run) -> tuple[list[Block], list[str]]:
    """Some training images of each class before and after preprocessing.

    Args:
        run: the run whose examples/ is read.

    Returns:
        A gallery of strips with a line above it, or nothing; and a note for each picture that is missing or damaged.
    """
    found, notes = read_pictures(run, run.examples)
    if not found:
        return [], notes
    panels = list(dict.fromkeys(name for entry, _, _ in found for name in _words(entry.get("panels"))))
    several = len({str(entry.get("source")) for entry, _, _ in found}) > 1
    pictures = []
    for entry, uri, path in found:
        title, caption = str(entry.get("class", "")), _short(entry)
        if several:
            caption = f"{caption}, {source_name(str(entry.get('source', '')))}"
        alt = f"Training radiograph {caption} of {title}: {listed(_words(entry.get('panels')))}"
        pictures.append(Picture(uri=uri, path=path, title=title, caption=caption, alt=alt))
    steps = run.get("preprocess.steps")
    done = ", ".join(str(name) for name in steps) if isinstance(steps, Mapping) else ""
    said = [f"{name} ({done})" if place == 1 and done else name for place, name in enumerate(panels)]
    text = f"Training images. From left to right: {', '.join(said)}." if said else "Training images."
    return [Text(text), Gallery("", tuple(pictures), size="wide")], notes


def _case(run: Run, entry: Mapping[str, Any], uri: str, path: str, row: pd.Series[Any] | None) -> Picture:
    name, loss = _short(entry), to_float(entry.get("loss"))
    if row is None:
        title, said = f"Loss {decimal(loss, 2)}", ""
    else:
        true = [of for of in run.classes if row[f"t_{of}"] == 1]
        predicted = [of for of in str(row["predicted"]).split("|") if of in run.classes]
        missed = [of for of in true if of not in predicted]
        title = _names(true) if true else "none of the labels"
        said = f"predicted {_chances(row, predicted)}" if predicted else "predicted none"
        said += f" ({_chances(row, missed)})" if missed else ""
        said += f", loss {decimal(loss, 2)}"
    caption = ". ".join(filter(None, [said, name]))
    return Picture(uri=uri, path=path, title=title, caption=caption, alt=f"Radiograph {name}: {title}, {said}")


def _chances(row: pd.Series[Any], names: Sequence[str]) -> str:
    order = sorted(names, key=lambda name: -float(row[f"p_{name}"]))
    more = f" and {some(len(order) - NAMED, 'other')}" if len(order) > NAMED else ""
    return ", ".join(f"{name} {decimal(float(row[f'p_{name}']), 2)}" for name in order[:NAMED]) + more


def _names(names: Sequence[str]) -> str:
    more = f" and {some(len(names) - NAMED, 'other')}" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _short(entry: Mapping[str, Any]) -> str:
    return str(entry.get("sample_id", "")).removeprefix(f"{entry.get('source', '')}/")


def _words(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, Iterable) and not isinstance(value, str) else []
