"""Where the configuration lies, and its composition into one checked, plain dict.

Nothing heavy is imported here: `--help` needs the folder and the names only. Hydra is imported by `compose`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lungseg.errors import ConfigError, near_name

PACKAGE = Path(__file__).resolve().parent
PARTS = ("train", "val", "test")
MASK_WORDS = ("disk", "trained")
"""Values of `lung_masks` that are no paths: the masks that the sets publish, and those of a checkpoint's training."""


def config_dir() -> Path:
    """Return the folder of the shipped YAML files.

    In a wheel it is `<package>/conf`, in a clone and an editable install `<package>/../conf`.

    Raises:
        ConfigError: neither holds `train.yaml`: the installation is damaged.
    """
    candidates = (PACKAGE / "conf", PACKAGE.parent / "conf")
    for folder in candidates:
        if (folder / "train.yaml").is_file():
            return folder
    msg = f"no configuration in {candidates[0]} or {candidates[1]}: the installation is damaged; install lungseg again"
    raise ConfigError(msg)


def verbs() -> dict[str, Path]:
    """Return the root file of every verb: a verb is `conf/<verb>.yaml` plus `lungseg/commands/<verb>.py`."""
    files = sorted(config_dir().glob("*.yaml"))
    found = {file.stem: file for file in files if (PACKAGE / "commands" / f"{file.stem}.py").is_file()}
    order = ("train", "evaluate", "predict", "explain", "report", "tune", "check", "prepare", "doctor")
    return {verb: found[verb] for verb in (*(v for v in order if v in found), *sorted(set(found) - set(order)))}


def compose(
    verb: str, overrides: Sequence[str] = (), config_dirs: Sequence[str | Path] = (), *, run_dir: str | None = None
) -> dict[str, Any]:
    """Compose the configuration of one run as a plain, resolved and checked dict.

    Args:
        verb: name of the root file, such as `train`.
        overrides: as on the command line, without sweeps.
        config_dirs: more folders of YAML files, as by `--config-dir`.
        run_dir: value of the key `run_dir`; a stand-in when None.

    Returns:
        The keys of the root file and its groups, and `verb`, `overrides` (as given) and `run_dir`.

    Raises:
        ConfigError: all that is wrong with overrides, files and values, in one message.
    """
    from lungseg.cli.composition import Composer

    conf = config_dir()
    if not (conf / f"{verb}.yaml").is_file():
        raise ConfigError(unknown_verb(verb))
    return Composer(verb, conf, config_dirs).compose(overrides, run_dir).config


def unknown_verb(word: str) -> str:
    """Say that there is no such verb, and which there are."""
    names = list(verbs())
    near = near_name(word, names)
    hint = f"did you mean {near}? " if near else ""
    return f"`{word}` is no verb and no key=value; {hint}The verbs are: {', '.join(names)}"


def check(config: Mapping[str, Any]) -> None:
    """Check what several keys, or the range of one, decide together.

    Raises:
        ConfigError: all problems in one message.
    """
    problems = [
        *missing(config, str(config.get("verb"))), *_ranges(config), *_mask_problems(config), *_train_problems(config),
        *_place_problems(config),
    ]  # fmt: skip
    if len(problems) == 1:
        raise ConfigError(problems[0])
    if problems:
        raise ConfigError(f"{len(problems)} problems:" + "".join(f"\n  - {text}" for text in problems))


def missing(config: Any, verb: str, path: str = "") -> Iterator[str]:
    """Yield a sentence for every key that is still `???`."""
    for key, value in config.items():
        full = f"{path}{key}"
        if value == "???":
            how = "an experiment sets it; or give name=my_run" if full == "name" else f"{verb} needs {full}=..."
            yield f"{full} is not set: {how}"
        elif isinstance(value, Mapping):
            yield from missing(value, verb, f"{full}.")


def _ranges(config: Mapping[str, Any]) -> Iterator[str]:
    data = config.get("data")
    inner = data if isinstance(data, Mapping) else {}
    least = {"seed": 0, "split_seed": 0, "n_boot": 0, "num_workers": 0, "batch_size": 1, "jobs": 1, "sheet": 0}
    for prefix, node in (("", config), ("data.", inner)):
        for key, low in least.items():
            value = node.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and value < low:
                yield f"{prefix}{key}={value} is below {low}"
    for key in ("parts", "test_parts"):
        for part in config.get(key) or []:
            if part not in PARTS:
                near = near_name(str(part), PARTS)
                yield f"{key}: there is no part {part!r}" + (f"; did you mean {near}?" if near else f" in {PARTS}")
    threshold = config.get("threshold")
    if isinstance(threshold, float) and not 0 < threshold < 1:
        yield f"threshold={threshold} is not between 0 and 1: it is compared with probabilities"
    device = config.get("device")
    if isinstance(device, str) and device.partition(":")[0] not in {"auto", "cpu", "cuda", "mps"}:
        yield f"device={device} is none of auto, cpu, cuda, cuda:<number>, mps"
    if isinstance(data, Mapping) and not data.get("sources"):
        yield "data.sources is empty: choose a data set by data=<name>"


def _mask_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence where lung masks are to come from a place that is not there.

    Said before anything starts: in a sweep over the parts of the picture the first run wants no masks.
    """
    steps = (config.get("preprocess") or {}).get("steps") or {}
    wanted = {step.get("masks") for step in steps.values() if isinstance(step, Mapping)}
    place = config.get("lung_masks")
    if not isinstance(place, str) or place not in wanted or place in MASK_WORDS:
        return
    path = Path(place)
    if not place.strip():
        yield "lung_masks is empty; give disk, a segmentation run or .ckpt, or a folder that lung masks were drawn into"
    elif not path.exists():
        near = near_name(path.name, [other.name for other in path.parent.glob("*")]) if path.parent.is_dir() else None
        hint = f"; did you mean {path.parent / near}?" if near else ""
        yield (
            f"lung_masks={place} does not exist{hint or '.'} Give disk, a segmentation run or .ckpt, or a folder that "
            "lung masks were drawn into"
        )


def _train_problems(config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("verb") != "train":
        return
    for key, options in (("test", ("best", "last", "none")), ("monitor_mode", ("max", "min"))):
        value = str(config.get(key))
        if value not in options:
            near = near_name(value, options)
            yield f"{key}={value} is none of {', '.join(options)}" + (f"; did you mean {near}?" if near else "")
    monitor = str(config.get("monitor"))
    part, _, quantity = monitor.partition("/")
    if part != "val" or not quantity:
        yield f"monitor={monitor} is no value of the validation part, such as val/dice; only that part may select"
    wants = "min" if "loss" in quantity else "max"
    mode = config.get("monitor_mode")
    if quantity and mode in {"max", "min"} and mode != wants:
        yield f"monitor={monitor} is best at its {wants}imum, but monitor_mode={mode}; give monitor_mode={wants}"
    yield from _class_problems(config)
    searched = (config.get("postprocess") or {}).get("search")
    if searched and "val" in (config.get("test_parts") or []) and config.get("test") != "none":
        yield (
            f"postprocess.search={searched} chooses on the validation part, which test_parts would test: "
            "give postprocess.search=[] or test_parts=[test]"
        )
    if config.get("test") != "none" and not config.get("test_parts"):
        yield "test_parts is empty; to test nothing give test=none"


def _place_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with URLs, and keys of accounts that would be saved with the configuration."""
    from lungseg.remote.urls import is_url, problems  # help does without

    paths = config.get("paths") or {}
    if isinstance(paths.get("cache_gb"), int | float) and paths["cache_gb"] < 0:
        yield f"paths.cache_gb={paths['cache_gb']} is below 0; 0 keeps no copies"
    results = paths.get("results")
    if results is not None and not is_url(results):
        yield (
            f"paths.results={results} is no URL such as abfs://container/results; to write runs to another folder of "
            "this machine give paths.outputs"
        )
    yield from problems(config)


def _class_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what does not go together where classes are told apart."""
    kind = (config.get("task") or {}).get("kind")
    if kind is None:
        return
    if not (config.get("data") or {}).get("classes"):
        yield f"task={kind} needs the names of the classes, in order, as the set has them: data.classes=[normal,viral]"
    chosen = kind == "multilabel" and (config.get("metrics") or {}).get("thresholds")
    if chosen and "val" in (config.get("test_parts") or []) and config.get("test") != "none":
        yield (
            "metrics.thresholds chooses on the validation part, which test_parts would test: give "
            "metrics.thresholds=null or test_parts=[test]"
        )


def differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield what differs between two values, of two maps their entries: the dotted key, what was there, what is.

    Example:
        >>> list(differences({"optimizer": {"lr": 1, "eps": 2}}, {"optimizer": {"lr": 3, "eps": 2}}))
        [('optimizer.lr', 1, 3)]
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*before, *now]):
            yield from differences(before.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif before != now:
        yield key, before, now
