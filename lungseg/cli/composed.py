"""What composing gives: a plain configuration, and how Hydra composes it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict


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
    """Resolve to plain containers, with the keys that the program adds; `cfg` gets them too."""
    name = None if OmegaConf.is_missing(cfg, "name") else cfg.get("name")
    with open_dict(cfg):
        cfg["verb"] = verb
        cfg["run_dir"] = run_dir or f"{cfg.paths.outputs}/{name or verb}/not_started"
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    return {str(key): value for key, value in resolved.items()}
