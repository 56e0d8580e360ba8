"""The optional table `labels.csv` beside the Kaggle set: sex and age where the readings were public."""

from __future__ import annotations

from pathlib import Path

from lungseg.data.sources.clinical import parse_age, parse_sex, read_table
from lungseg.errors import DataError


def read_labels(root: Path) -> dict[str, tuple[str | None, float | None]]:
    """Sex and age by stem from `labels.csv` in `root` or one folder above; empty where there is none.

    Raises:
        DataError: The table lacks the columns file, sex and age, or a value is neither known nor empty.
    """
    path = next((p for p in (root / "labels.csv", root.absolute().parent / "labels.csv") if p.is_file()), None)
    if path is None:
        return {}
    found: dict[str, tuple[str | None, float | None]] = {}
    for number, record in enumerate(read_table(path), start=2):
        try:
            found[Path(record["file"]).stem] = (parse_sex(record["sex"]), parse_age(record["age"]))
        except KeyError as error:
            msg = f"{path} has no column {error}; its columns must include file, sex and age, or remove the file"
            raise DataError(msg) from error
        except ValueError as error:
            msg = f"{path}, record {number}: {error}"
            raise DataError(msg) from error
    return found
