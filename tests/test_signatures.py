from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from lungseg.errors import ConfigError
from lungseg.signatures import signature

PACKAGE = {
    "__init__.py": "from .nets import Net as Renamed\nfrom .star import *\n",
    "nets.py": (
        "from dataclasses import dataclass\nfrom .base import Base\n"
        "class Net(Base):\n    pass\n"
        "class Own(Base):\n    def __init__(self, *, width: int, **kwargs): ...\n"
        "@dataclass\nclass Record:\n    size: int\n    name: str = ''\n"
        "class Bare:\n    pass\n"
        "def build(a, /, b, *, c=1): ...\n"
        "class Maker:\n    @classmethod\n    def make(cls, depth: int): ...\n"
        "alias = build\n"
    ),
    "base.py": "class Base:\n    def __init__(self, depth: int = 3, *, dropout: float = 0.0): ...\n",
    "star.py": "class FromStar:\n    def __init__(self, radius=1): ...\n",
    "broken.py": "def (:\n",
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A package that raises when it is imported, so that only reading works."""
    root = tmp_path_factory.mktemp("packages")
    folder = root / "toy_signatures"
    folder.mkdir()
    for name, text in PACKAGE.items():
        (folder / name).write_text(text)
    (folder / "__init__.py").write_text(PACKAGE["__init__.py"] + "raise RuntimeError('imported')\n")
    sys.path.insert(0, str(root))
    yield folder.name
    sys.path.remove(str(root))


@pytest.mark.parametrize(
    ("target", "names", "is_open"),
    [
        pytest.param("nets.Net", ["depth", "dropout"], False, id="inherited-constructor"),
        pytest.param("Renamed", ["depth", "dropout"], False, id="re-exported-under-another-name"),
        pytest.param("FromStar", ["radius"], False, id="star-import"),
        pytest.param("nets.Own", ["width"], True, id="keyword-arguments-stay-open"),
        pytest.param("nets.Record", ["size", "name"], False, id="dataclass"),
        pytest.param("nets.Bare", [], False, id="no-constructor"),
        pytest.param("nets.build", ["b", "c"], False, id="positional-only-cannot-be-set"),
        pytest.param("nets.alias", ["b", "c"], False, id="alias"),
    ],
)
def test_arguments_are_read_without_importing(package: str, target: str, names: list[str], is_open: bool) -> None:
    found = signature(f"{package}.{target}")
    assert found is not None
    assert list(found.arguments) == names
    assert found.is_open is is_open
    assert package not in sys.modules


@pytest.mark.parametrize(
    ("target", "argument"),
    [
        ("torch.optim.Adam", "weight_decay"),
        ("torch.optim.lr_scheduler.StepLR", "gamma"),
        ("lightning.Trainer", "max_epochs"),
        ("lightning.pytorch.callbacks.EarlyStopping", "patience"),
        ("albumentations.Affine", "rotate"),
        ("segmentation_models_pytorch.Unet", "encoder_name"),
    ],
)
def test_third_party_re_exports_are_followed(target: str, argument: str) -> None:
    found = signature(target)
    assert found is not None
    assert argument in found.arguments


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param("torch.optim.Admm", r"did you mean torch\.optim\.Adam\?", id="class"),
        pytest.param("lungseg.models.resunett.ResUNet", r"did you mean lungseg\.models\.resunet\?", id="module"),
        pytest.param("no_such_package.Net", r"there is no package `no_such_package`", id="package"),
        pytest.param("Net", r"not the dotted name", id="no-dot"),
    ],
)
def test_a_target_that_is_not_there_is_refused_with_the_near_name(target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        signature(target)


def test_a_broken_module_is_named_with_the_line(package: str) -> None:
    with pytest.raises(ConfigError, match=r"broken\.py, line 1"):
        signature(f"{package}.broken.Net")


def test_a_compiled_function_cannot_be_told() -> None:
    assert signature("math.sqrt") is None


def test_a_module_without_constructor_takes_no_arguments_though_torch_declares_any() -> None:
    found = signature("torch.nn.Sigmoid")  # Module.__init__(*args, **kwargs) refuses all of them at run time
    assert found is not None
    assert (found.arguments, found.is_open) == ({}, False)
