"""What the tags and file names of the V7 set say of a radiograph: class, view, sex, age, patient."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from lungseg.data.sources.clinical import parse_age, parse_sex

Kind = Literal["ct", "lateral"]
"""Pictures of the set that are no frontal radiographs and were never annotated."""

_LABELS = {
    "covid-19": "covid-19",
    "bacterial pneumonia": "bacterial pneumonia",
    "viral pneumonia": "viral pneumonia",
    "fungal pneumonia": "fungal pneumonia",
    "lipoid pneumonia": "lipoid pneumonia",
    "undefined pneumonia": "pneumonia",
    "pneumonia": "pneumonia",
    "no pneumonia (healthy)": "normal",
    "no finding": "normal",
}
"""Tag -> class, the most telling first: a radiograph with COVID-19 is also tagged as viral pneumonia."""
_VIEWS = {
    "pa": "PA", "ap": "AP", "ap_supine": "AP", "ap_erect": "AP", "l": "L", "ll": "L", "lateral": "L",
    "axial": "CT", "coronal": "CT", "sagittal": "CT",
}  # fmt: skip
_CHILD = re.compile(r"(person\d+)_(bacteria|virus)_\d+|((?:normal2-)?im-\d+)-\d+(?:-\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class V7Facts:
    """Facts of one radiograph; None = unknown.

    Attributes:
        label: Class, in lower case.
        view: PA, AP, L (lateral) or CT.
        sex: F or M.
        age: Years.
        patient: Name of the patient.
        kind: `ct` or `lateral` where the picture is no frontal radiograph.
    """

    label: str | None
    view: str | None
    sex: str | None
    age: float | None
    patient: str | None
    kind: Kind | None


def facts_of(tags: Iterable[str], name: str) -> V7Facts:
    """Facts by the tags of an annotation, and by the file name for the children of the Kermany set.

    The number in `person12_virus_3` is the child's. It restarts in that set's training and test part, which the V7 set
    no longer tells apart, so that two children may count as one, never one as two.

    Example:
        >>> facts_of(["View/AP_Supine", "COVID-19", "Viral Pneumonia", "Age:53"], "a.png").label
        'covid-19'
        >>> facts_of([], "person12_virus_3.jpeg").patient
        'person12'
    """
    words = {tag.strip().lower() for tag in tags}
    child = _CHILD.fullmatch(PurePosixPath(name).stem)
    label = next((label for tag, label in _LABELS.items() if tag in words), None)
    patient = _after(words, "patientid:")
    if child is not None:
        patient = patient or (child.group(1) or child.group(3)).lower()
        cause = (child.group(2) or "").lower()
        label = label or {"bacteria": "bacterial pneumonia", "virus": "viral pneumonia"}.get(cause, "normal")
    view = _VIEWS.get((_after(words, "view/") or "").replace(" ", "_"))
    if "ct" in words:
        view = "CT"
    kind: Kind | None = "ct" if view == "CT" else "lateral" if view == "L" else None
    return V7Facts(label, view, _sex(_after(words, "sex/")), _age(_after(words, "age:")), patient, kind)


def _after(words: Iterable[str], head: str) -> str | None:
    """What follows `head` in the first word that begins with it, by name."""
    return next((word.removeprefix(head) for word in sorted(words) if word.startswith(head)), None) or None


def _sex(text: str | None) -> str | None:
    try:
        return parse_sex(text or "")
    except ValueError:
        return None


def _age(text: str | None) -> float | None:
    try:
        return parse_age(text or "")
    except ValueError:
        return None
