"""What composing gives: a plain configuration, and how Hydra composes it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from lungseg.config import MASK_WORDS


@dataclass(frozen=True)
class Composed:
    """One configuration, as Hydra shall compose it again.

    Args:
        config: plain and resolved, without Hydra's own part.
        overrides: the given ones, `++` put before constructor arguments that no file states.
        multirun: a sweep group switched multirun on.
        params: what that group sweeps over, by key.
        has_folder: the verb writes a run folder.
        run_dir: given by `hydra.run.dir=`.
        sweep_dir: given by `hydra.sweep.dir=`.
    """

    config: dict[str, Any]
    overrides: list[str]
    multirun: bool = False
    params: dict[str, str] = field(default_factory=dict)
    has_folder: bool = True
    run_dir: str | None = None
    sweep_dir: str | None = None


def plain(cfg: DictConfig, verb: str, run_dir: str | None) -> dict[str, Any]:
    """Resolve to plain containers, with the keys that the program adds; `cfg` gets them too.

    The place of lung masks becomes an absolute path: a checkpoint keeps it, and is used from other folders.
    """
    name = None if OmegaConf.is_missing(cfg, "name") else cfg.get("name")
    with open_dict(cfg):
        cfg["verb"] = verb
        cfg["run_dir"] = run_dir or f"{cfg.paths.outputs}/{name or verb}/not_started"
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    config = {str(key): value for key, value in resolved.items()}
    steps = (config.get("preprocess") or {}).get("steps") or {}
    ours = [step for step in steps.values() if str((step or {}).get("_target_")).startswith("lungseg.")]
    for node, key in ((config, "lung_masks"), *((step, "masks") for step in ours)):
        place = node.get(key)
        if isinstance(place, str) and place.strip() and place not in MASK_WORDS:
            node[key] = str(Path(place).expanduser().absolute())
    return config
