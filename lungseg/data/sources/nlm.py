"""What the two tuberculosis sets of the National Library of Medicine share: file names and the masks made for them."""

from __future__ import annotations

from pathlib import Path

from lungseg.data.sources.layout import by_stem, list_files

MASK_SUFFIX = "_mask"


def tuberculosis_label(stem: str) -> str | None:
    """The class by the last digit of a file name: 0 normal, 1 tuberculosis, else unknown.

    Example:
        >>> tuberculosis_label("CHNCXR_0327_1")
        'tuberculosis'
    """
    return {"0": "normal", "1": "tuberculosis"}.get(stem.rsplit("_", 1)[-1])


def images_in(folder: Path, prefixes: tuple[str, ...]) -> dict[str, Path]:
    """Stem -> PNG file of the radiographs in `folder` whose name begins with one of `prefixes`."""
    files = [path for path in list_files(folder, (".png",)) if path.stem.startswith(prefixes)]
    return by_stem(files, what=f"radiographs in {folder}")


def masks_in(folder: Path, prefixes: tuple[str, ...], *, suffixed: bool = False) -> dict[str, Path]:
    """Stem of the radiograph -> mask file; a mask is named as its radiograph, with or without `_mask` at the end.

    Args:
        folder: Folder of the masks.
        prefixes: What the names begin with.
        suffixed: Take only names that end in `_mask`, so that no radiograph passes for a mask.
    """
    found = images_in(folder, prefixes)
    if suffixed:
        found = {stem: path for stem, path in found.items() if stem.endswith(MASK_SUFFIX)}
    return {stem.removesuffix(MASK_SUFFIX): path for stem, path in found.items()}
