"""Telling URLs from paths, and keeping keys of accounts out of what is saved. Nothing heavy is imported here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lungseg.errors import ConfigError, near_name

EXTRAS = {"abfs": "azure", "abfss": "azure", "az": "azure", "adl": "azure", "s3": "s3", "s3a": "s3"}
"""Schemes whose package is an extra of ours."""
LOCAL_ONLY = ("paths.outputs", "paths.store", "paths.cache")
"""Keys of folders that are written to at random, renamed and locked, which no object store can do."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SECRETS = re.compile(
    r"((?:AccountKey|SharedAccessSignature|SharedAccessKey|[?&;]sig|X-Amz-Signature|X-Amz-Security-Token|"
    r"aws_secret_access_key|password)=)[^\s&;'\"]+"
    r"|(://[^/\s@:]*:)[^/\s@]+(?=@)",
    re.IGNORECASE,
)


def is_url(text: object) -> bool:
    """Tell whether a value begins as a URL does.

    Example:
        >>> is_url("abfs://images/covid"), is_url("/data/covid"), is_url("file:///data/covid")
        (True, False, True)
    """
    return isinstance(text, str) and _URL.match(text) is not None


def scheme_of(url: str) -> str:
    """Return the part before `://`, in small letters.

    Example:
        >>> scheme_of("abfs://images/covid")
        'abfs'
    """
    return url.partition("://")[0].lower()


def holds_secret(text: str) -> bool:
    """Tell whether a text holds the key of an account, a signature, or a password inside a URL.

    Example:
        >>> holds_secret("abfs://images@account.dfs.core.windows.net/covid")
        False
        >>> holds_secret("https://account.blob.core.windows.net/images?sv=2024-11-04&sig=abc")
        True
        >>> holds_secret("s3://user:password@bucket/covid")
        True
    """
    return _SECRETS.search(text) is not None


def scrubbed(text: str) -> str:
    """Return a text with `***` where it held a key, a signature or a password.

    Example:
        >>> scrubbed("AccountName=a;AccountKey=Zm9v;EndpointSuffix=b")
        'AccountName=a;AccountKey=***;EndpointSuffix=b'
    """
    return _SECRETS.sub(lambda found: f"{found[1] or found[2]}***", text)


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the URLs of a configuration; none of the sentences repeats a secret.

    Args:
        config: plain and resolved.
    """
    told: set[str] = set()  # paths.data stands in every source too
    for key, value in _texts(config, ""):
        if value in told:
            continue
        told.add(value)
        if holds_secret(value):
            yield (
                f"{key} holds a key, signature or password, and the configuration is saved with every run. Leave it "
                "out and put it into the environment: AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_SAS_TOKEN or "
                "AWS_SECRET_ACCESS_KEY (docs/remote.md)"
            )
        elif not is_url(value) or scheme_of(value) == "file":
            continue
        elif key in LOCAL_ONLY or (key == "output" and config.get("verb") != "predict"):
            yield local_only(key, value)
        elif key.partition(".")[0] == "runs":
            yield f"{key}={value} must be a run folder on this machine; copy the run here first"
        elif _is_place(key):
            try:
                check_scheme(value)
            except ConfigError as error:
                yield f"{key}={value}: {error}"


def local_only(key: str, value: str) -> str:
    """Say that a key wants a folder of this machine."""
    return (
        f"{key}={value} must be a folder on this machine: it is written to in place. To have finished runs copied "
        "elsewhere give paths.results=<URL>"
    )


def check_scheme(url: str) -> None:
    """Refuse a URL whose scheme nothing knows, or that chains several.

    Raises:
        ConfigError: it names the scheme that was meant.
    """
    from fsspec.registry import known_implementations

    if "::" in url:
        msg = "chained URLs are not read; what is elsewhere is cached in paths.cache anyway"
        raise ConfigError(msg)
    scheme = scheme_of(url)
    if scheme in known_implementations:
        return
    near = near_name(scheme, [*EXTRAS, *known_implementations])
    hint = f"did you mean {near}://?" if near else "known are abfs:// (Azure), s3://, and others of fsspec"
    msg = f"{scheme}:// is no scheme that can be read; {hint}"
    raise ConfigError(msg)


def _is_place(key: str) -> bool:
    """Tell whether a key names a place that data are read from or written to."""
    last = key.rpartition(".")[2]
    return key in ("paths.data", "paths.results", "input", "output", "checkpoint", "lung_masks") or (
        key.startswith("data.sources.") and last in ("root", "search", "masks_root")
    )


def _texts(node: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield every text of a configuration with its key."""
    if isinstance(node, str):
        yield key, node
    elif isinstance(node, Mapping):
        for name, value in node.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _texts(value, f"{key}.{number}")
