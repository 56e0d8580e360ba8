"""Weights for networks: from a file, or published ones from the cache of the Hugging Face hub or of torch."""

from __future__ import annotations

import pickle
import socket
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from safetensors.torch import load_file
from torch import Tensor, nn

from lungseg.errors import ConfigError, ResourceError, first_five, near_name

IMAGENET = "imagenet"
KEY = "model.weights"
WRAPPERS = ("module.", "model.")
"""What stands before the names of a network's tensors when something else held it, from outside in."""
IN_A_RUN = ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "best.ckpt", "last.ckpt")
"""Where a run folder, or its folder of checkpoints, has weights."""
SECONDS_TO_CONNECT = 3.0


@dataclass(frozen=True)
class Published:
    """A file of weights that someone published.

    Args:
        repo: repository on the Hugging Face hub.
        revision: commit of the repository; None is its newest.
        name: of the file.
    """

    repo: str
    revision: str | None = None
    name: str = "model.safetensors"


@dataclass(frozen=True)
class Download:
    """A file of weights that someone published at an address, kept where torch keeps what it loads.

    Args:
        url: its name ends in the first digits of the file's SHA-256, as torchvision has it: `resnet34-b627a593.pth`.
    """

    url: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Weights:
    """Tensors of a file, and where they come from.

    Args:
        origin: key and value that named the file, for messages.
        tensors: by the names of the file.
    """

    origin: str
    tensors: dict[str, Tensor]


def read_weights(
    weights: str, published: Published | Download | None, *, parts: Sequence[str] = ("encoder.",), key: str = KEY
) -> Weights:
    """Read the tensors that `weights` names.

    A file may be what torch or safetensors saved: a bare state dict, a training checkpoint with a `state_dict` or
    `model` inside, or a checkpoint of lungseg, of which `parts` are taken. Nothing but tensors and plain containers is
    ever unpickled.

    Args:
        weights: `imagenet`, or the path of a file (`.safetensors`, or anything that torch saved).
        published: what `imagenet` stands for; None when nobody has published weights for this network.
        parts: names that the encoder may have inside a whole network, with their dots.
        key: of `weights` in the config, for messages.

    Raises:
        ConfigError: there is no such file, or no such published weights; the file cannot be read.
        ResourceError: the published file is not in the cache and cannot be fetched.
    """
    if weights != IMAGENET:
        path = find_file(weights, key)
    elif published is None:
        msg = (
            f"{key}={IMAGENET}, but nobody has published weights for a network of these widths. Take the widths of a "
            f"published one, or set {key}=/path/to/file, or {key}=null for random weights"
        )
        raise ConfigError(msg)
    else:
        path = fetch(published, key)
    return Weights(f"{key}={weights}", _inner(read_tensors(path, key), parts))


def find_file(place: str, key: str = KEY) -> Path:
    """Return the path of a file of weights.

    Raises:
        ConfigError: there is no such file.
    """
    path = Path(place).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        what, near = "is a folder", next((str(path / name) for name in IN_A_RUN if (path / name).is_file()), None)
    else:
        siblings = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        what, near = "does not exist", near_name(path.name, [IMAGENET, *siblings])
        near = str(path.parent / near) if near and near != IMAGENET else near
    hint = f"; did you mean {near}?" if near else f". Give {IMAGENET}, the path of a file, or null"
    msg = f"{key}={place} {what}{hint}"
    raise ConfigError(msg)


def fetch(published: Published | Download, key: str = KEY) -> Path:
    """Return the file of published weights, from the cache or, where there is a network, from where it is published.

    Raises:
        ResourceError: it is in neither; says which file that is and where to put it.
    """
    if isinstance(published, Download):
        return _fetch_address(published, key)
    cache = constants.HF_HUB_CACHE
    found = try_to_load_from_cache(published.repo, published.name, cache_dir=cache, revision=published.revision)
    if isinstance(found, str):
        return Path(found)
    reason = _unreachable(constants.ENDPOINT)
    if reason is None:
        try:
            return Path(hf_hub_download(published.repo, published.name, revision=published.revision, cache_dir=cache))
        except Exception as error:  # the hub's client raises errors of its own, of httpx and of the system
            reason = str(error).strip().partition("\n")[0].rstrip(".")
    revision = f" --revision {published.revision}" if published.revision else ""
    msg = (
        f"{key}={IMAGENET} needs the file {published.name} of {published.repo} on the Hugging Face hub, which is "
        f"not in {cache} and cannot be fetched: {reason}. Where there is a network, run `hf download {published.repo} "
        f"{published.name}{revision}` and copy the folder models--{published.repo.replace('/', '--')} into {cache}; or "
        f"set {key}=/path/to/{published.name}"
    )
    raise ResourceError(msg)


def _fetch_address(published: Download, key: str) -> Path:
    """Return a file from torch's cache or from its address.

    Raises:
        ResourceError: it is in neither.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / published.name
    if path.is_file():
        return path
    reason = _unreachable(published.url)
    if reason is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            digits = published.name.rpartition("-")[2].partition(".")[0]
            torch.hub.download_url_to_file(published.url, str(path), hash_prefix=digits, progress=False)
            return path
        except Exception as error:  # of urllib, of the system, or a file that is not what its name says
            reason = str(error).strip().partition("\n")[0].rstrip(".")
    msg = (
        f"{key}={IMAGENET} needs the file {published.name}, which is not in {folder} and cannot be fetched: {reason}. "
        f"Where there is a network, fetch {published.url} and copy it into {folder}; or set "
        f"{key}=/path/to/{published.name}"
    )
    raise ResourceError(msg)


def _unreachable(place: str) -> str | None:
    """Say why an address cannot be asked, or None; the hub's client alone would try for half a minute."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    address = urlsplit(place)
    if address.scheme in urllib.request.getproxies():
        return None
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=SECONDS_TO_CONNECT).close()
    except OSError as error:
        return f"{address.hostname} cannot be reached ({error})"
    return None


def read_tensors(path: Path, key: str = KEY) -> dict[str, Tensor]:
    """Read the tensors of a file, and of a training checkpoint those of its network.

    Raises:
        ConfigError: the file is damaged, holds other objects, or no tensors.
    """
    try:
        content = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except pickle.UnpicklingError as error:
        msg = (
            f"{key}: {path} holds more than tensors and plain values, or is no file of torch; loading it could run "
            "foreign code, so it was not loaded. Save its state dict alone, or convert it to safetensors"
        )
        raise ConfigError(msg) from error
    except Exception as error:  # a damaged file ends in errors of many kinds
        msg = f"{key}: {path} cannot be read as weights ({error}). Fetch or save it again"
        raise ConfigError(msg) from error
    for name in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    named = content.items() if isinstance(content, Mapping) else ()
    tensors = {name: value for name, value in named if isinstance(value, Tensor)}
    if not tensors:
        msg = f"{key}: {path} holds no tensors by name. Give a state dict, or a checkpoint with one inside"
        raise ConfigError(msg)
    return tensors


def _inner(tensors: dict[str, Tensor], parts: Sequence[str]) -> dict[str, Tensor]:
    """Take off what held a network, and take its part where it is a whole one."""
    for prefix in (*WRAPPERS, *parts):
        inside = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        tensors = inside or tensors
    return tensors


def fit_input(tensors: dict[str, Tensor], name: str, in_channels: int) -> dict[str, Tensor]:
    """Fit the filters of the first convolution, made for RGB, to another number of channels.

    One channel gets the sum of the three, so that a grey image gives what its three equal copies gave. Other numbers
    repeat the three in turn, scaled by 3 / `in_channels`, which keeps the sum over equal channels. Filters that have
    `in_channels` already stay.

    Args:
        tensors: state dict with RGB filters `name` of shape (F, 3, k, k).
        name: of the filters.
        in_channels: channels wanted.

    Returns:
        A new dict that shares the other tensors.

    Example:
        >>> rgb = {"conv.weight": torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1)}
        >>> fit_input(rgb, "conv.weight", 1)["conv.weight"].flatten()
        tensor([7.])
        >>> fit_input(rgb, "conv.weight", 6)["conv.weight"].flatten()
        tensor([0.5000, 1.0000, 2.0000, 0.5000, 1.0000, 2.0000])
    """
    filters = tensors.get(name)
    if filters is None or filters.ndim != 4 or filters.shape[1] != 3 or in_channels == 3:
        return tensors
    if in_channels == 1:
        fitted = filters.sum(1, keepdim=True)
    else:
        fitted = filters[:, torch.arange(in_channels) % 3] * (3 / in_channels)
    return {**tensors, name: fitted}


def load_weights(module: nn.Module, weights: Weights, *, advice: str) -> None:
    """Put tensors into a module; those that it has no place for, such as a classifier's, are left out.

    Args:
        module: every parameter and buffer of it must be given (but for counters of batches).
        weights: what to put in.
        advice: what to set when they do not fit.

    Raises:
        ConfigError: tensors are missing or have other shapes; names the first.
    """
    state = module.state_dict()
    given = weights.tensors
    own = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    missing = [name for name in own if name not in given]
    shapes = [
        f"{name} is {tuple(given[name].shape)}, the network wants {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    if missing or shapes:
        raise ConfigError(misfit(weights.origin, len(own), shapes, missing, given, advice))
    module.load_state_dict({name: given[name] for name in state if name in given}, strict=False)


def misfit(origin: str, total: int, shapes: list[str], missing: list[str], given: Iterable[str], advice: str) -> str:
    """Say which tensors of a file do not fit a network, and what to set.

    Args:
        origin: key and value that named the file.
        total: tensors of the network.
        shapes: sentences about tensors of other shapes.
        missing: names of tensors that the file lacks.
        given: names in the file.
        advice: what to set.
    """
    parts = [f"{len(shapes)} of {total} tensors have other shapes: {first_five(shapes)}"] if shapes else []
    if missing:
        parts.append(f"{len(missing)} of {total} tensors are not in it: {first_five(missing)}")
    if len(missing) == total:
        parts.append(f"its own begin with {', '.join(list(given)[:3])}")
    return f"{origin} does not fit the network. {'; '.join(parts)}. {advice}"


def share_out(
    weights: str | Mapping[str, str | None] | None, names: Sequence[str], *, key: str = KEY
) -> dict[str, str]:
    """Return which of several networks gets which weights.

    Args:
        weights: `imagenet` for all, or name -> `imagenet`, path or None; None for none.
        names: of the networks.
        key: of `weights` in the config, for messages.

    Raises:
        ConfigError: one file for all of them, or a name that is not there.

    Example:
        >>> share_out({"one": "imagenet", "other": None}, ["one", "other"])
        {'one': 'imagenet'}
    """
    if weights is None:
        return {}
    if isinstance(weights, str):
        if weights != IMAGENET:
            example = ", ".join(f"{name}: /path/to/file" for name in names)
            msg = f"{key}={weights} is one file for {' and '.join(names)}. Give {IMAGENET}, null, or {{{example}}}"
            raise ConfigError(msg)
        return dict.fromkeys(names, weights)
    for name in weights:
        if name not in names:
            near = near_name(name, names)
            hint = f"did you mean {near}?" if near else f"there are {' and '.join(names)}"
            msg = f"{key}.{name}: there is no such network here; {hint}"
            raise ConfigError(msg)
    return {name: file for name, file in weights.items() if file is not None}
