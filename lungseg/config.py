"""Where the configuration lies, and its composition into one plain dict.

Nothing heavy is imported here: `--help` needs the folder and the names only. Hydra is imported by `compose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent


def config_dir() -> Path:
    """Return the folder of the shipped YAML files.

    In a wheel it is `<package>/conf`, in a clone and an editable install `<package>/../conf`.

    Raises:
        ConfigError: neither holds `train.yaml`: the installation is damaged.
    """
    from lungseg.errors import ConfigError

    candidates = (PACKAGE / "conf", PACKAGE.parent / "conf")
    for folder in candidates:
        if (folder / "train.yaml").is_file():
            return folder
    msg = f"No configuration in {candidates[0]} or {candidates[1]}: the installation is damaged; install lungseg again."
    raise ConfigError(msg)


def compose(
    verb: str, overrides: Sequence[str] = (), config_dirs: Sequence[str | Path] = (), *, run_dir: str | None = None
) -> dict[str, Any]:
    """Compose the configuration of one run as a plain, resolved dict."""
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.core.utils import setup_globals
    from hydra.types import RunMode
    from omegaconf import OmegaConf, open_dict

    from lungseg.cli.schema import register

    version.setbase("1.3")
    setup_globals()
    register()
    loader = ConfigLoaderImpl(create_config_search_path(str(config_dir())))
    cfg = loader.load_configuration(verb, list(overrides), RunMode.RUN)
    with open_dict(cfg):
        del cfg["hydra"]
        cfg["verb"], cfg["overrides"], cfg["run_dir"] = verb, list(overrides), run_dir or "outputs/unstarted"
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
