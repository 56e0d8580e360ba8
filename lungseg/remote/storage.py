"""One storage account through fsspec: credentials from the environment, a new try for requests that are cut off."""

from __future__ import annotations

import importlib
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from lungseg.errors import ConfigError, ResourceError
from lungseg.remote.faults import Fault, kind_of, reason
from lungseg.remote.urls import EXTRAS, check_scheme, holds_secret, scheme_of, scrubbed

log = logging.getLogger(__name__)
Found = TypeVar("Found")

TRIES = 6
"""Requests that are cut off are made so many times in all."""
PATIENCE_S = 300.0
"""After so long no further try is begun: the services' own packages try again too, and take a minute for it."""
FIRST_PATIENCE_S = 30.0
"""The same before an account has answered at all, since a wrong name then is likelier than a broken line."""
_WAIT_S = 0.5
_AZURE = ("abfs", "abfss", "az")


class Entry(NamedTuple):
    """What a listing says of a file or a folder.

    Attributes:
        size: bytes; None for a folder.
        version: changes whenever the content does: ETag, else time of the last change. "" where nothing is known.
        md5: of the content, hex, where the service tells it.
    """

    size: int | None
    version: str = ""
    md5: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.size is None


class Storage:
    """One account. Made by `Storage.of`.

    Args:
        filesystem: of fsspec.
        account: its name, or address; "" where the URL says all. Two URLs of one file differ in it at most.
    """

    _opened: ClassVar[dict[tuple[int, str], Storage]] = {}
    _lock = threading.Lock()

    def __init__(self, filesystem: Any, account: str) -> None:
        self.filesystem = filesystem
        self.account = account
        self._answered = False

    @classmethod
    def of(cls, url: str) -> Storage:
        """Return the storage behind a URL; one object a process and account.

        Raises:
            ConfigError: the scheme is not known, or the URL holds a secret.
            ResourceError: the package for it is not installed, or the environment holds no credentials.
        """
        head = "/".join(url.split("/", 3)[:3])
        key = (os.getpid(), head)  # connections do not survive a fork
        with cls._lock:
            if key not in cls._opened:
                cls._opened[key] = cls(*_open(url))
            return cls._opened[key]

    def identity(self, url: str) -> str:
        """Return one text for all URLs of a file: account, container and path."""
        return f"{_protocol(self.filesystem)} {self.account} {self._path(url)}"

    def children(self, url: str) -> dict[str, Entry] | None:
        """List a folder: name -> entry; None where there is no folder of that name."""
        try:
            found = self._tried(f"listing {url}", url, lambda: self.filesystem.ls(self._path(url), detail=True))
        except FileNotFoundError:
            return None
        path = self._path(url).rstrip("/")
        out: dict[str, Entry] = {}
        for item in found:
            whole = str(item["name"]).rstrip("/")
            if whole == path:
                if item["type"] == "file" and not str(item["name"]).endswith("/"):
                    return None  # a file lists itself
                continue  # the folder's own empty marker
            out[whole.rpartition("/")[2]] = _entry(item)
        return out

    def below(self, url: str) -> dict[str, Entry]:
        """List all files below a folder: path relative to it -> entry."""
        path = self._path(url).rstrip("/")
        found = self._tried(f"listing {url}", url, lambda: self.filesystem.find(path, detail=True))
        prefix = f"{path}/"
        return {
            str(name).removeprefix(prefix): _entry(item)
            for name, item in found.items()
            if str(name).startswith(prefix) and item["type"] == "file" and not str(name).endswith("/")
        }

    def entry(self, url: str) -> Entry | None:
        """Ask for one file or folder; None where there is none."""
        try:
            return _entry(self._tried(f"asking for {url}", url, lambda: self.filesystem.info(self._path(url))))
        except FileNotFoundError:
            return None

    def read(self, url: str, start: int, end: int) -> bytes:
        """Read bytes `start` to `end` (exclusive) of a file.

        Raises:
            FileNotFoundError: there is no such file.
            ResourceError: it may not be read, or the service cannot be reached.
        """
        path = self._path(url)

        def read() -> bytes:
            data = bytes(self.filesystem.cat_file(path, start=start, end=end))
            if len(data) < end - start:
                # the package took a connection that broke for the file's end
                msg = f"{len(data)} of {end - start} bytes came"
                raise ConnectionError(msg)
            return data

        return self._tried(f"reading {url}", url, read)

    def write(self, file: Path, url: str) -> None:
        """Copy a file of this machine to a URL, in place of what is there."""
        path = self._path(url)
        self._tried(f"writing {url}", url, lambda: self.filesystem.put_file(str(file), path))

    def lacks_container(self, url: str) -> bool:
        """Tell whether the container, or bucket, of a URL is not there."""
        return self.entry("/".join(url.split("/", 3)[:3])) is None

    def _path(self, url: str) -> str:
        return str(self.filesystem._strip_protocol(url))

    def _tried(self, what: str, url: str, work: Callable[[], Found]) -> Found:
        """Do a request; after a broken connection again, a little later each time.

        Raises:
            FileNotFoundError: what is asked for is not there.
            ResourceError: it is refused, or all tries were in vain.
        """
        began = time.monotonic()
        for number in range(1, TRIES + 1):
            try:
                found = work()
                self._answered = True
                return found
            except Exception as error:
                kind = kind_of(error)
                if kind is Fault.GONE:
                    raise FileNotFoundError(2, "it is not there", url) from error
                patience = PATIENCE_S if self._answered else FIRST_PATIENCE_S
                tired = number == TRIES or time.monotonic() - began > patience
                if kind is Fault.LOST and not tired:
                    wait = _WAIT_S * 2 ** (number - 1) * random.uniform(0.75, 1.25)
                    log.warning("%s was cut off (%s); trying again in %.1f s", what, scrubbed(reason(error)), wait)
                    time.sleep(wait)
                    continue
                msg = _sentence(what, url, kind, scrubbed(reason(error)), number)
                raise ResourceError(msg) from (None if holds_secret(_whole(error)) else error)
        raise AssertionError  # the last try returns or raises


def _whole(error: BaseException) -> str:
    """Return all texts of an error and its causes, as a traceback would show them."""
    import traceback

    return "".join(traceback.format_exception(error))


def _sentence(what: str, url: str, kind: Fault, why: str, tries: int) -> str:
    if kind is Fault.REFUSED:
        return f"{what} was refused ({why}). {_credentials(url)}"
    if kind is Fault.LOST:
        often = "" if tries == 1 else f" {tries} times"
        return (
            f"{what} failed{often} ({why}). Check the network and the names of account and container; what was done so "
            "far is kept, so run the same command again"
        )
    return f"{what} failed ({why}). Check the URL; docs/remote.md says how they are written"


def _credentials(url: str) -> str:
    """Say where credentials are taken from."""
    scheme = scheme_of(url)
    if scheme in _AZURE:
        given = [name for name in _AZURE_KEYS if os.environ.get(name)]
        told = f"credentials were taken from {' and '.join(given)}" if given else "no credentials were given"
        return (
            f"{told[0].upper()}{told[1:]} in the environment; set AZURE_STORAGE_CONNECTION_STRING, or "
            "AZURE_STORAGE_ACCOUNT_NAME and log in (az login, a managed identity) with the role Storage Blob Data "
            "Reader, to write Storage Blob Data Contributor"
        )
    if EXTRAS.get(scheme) == "s3":
        return (
            "Credentials come from the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the "
            "machine's role); they need s3:GetObject and s3:ListBucket, to write s3:PutObject"
        )
    return f"Credentials for {scheme}:// come from the environment, as its fsspec package documents"


_AZURE_KEYS = (
    "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_ACCOUNT_NAME",
)  # fmt: skip


def _open(url: str) -> tuple[Any, str]:
    """Make fsspec's filesystem for a URL."""
    if holds_secret(url):
        msg = (
            f"{scrubbed(url)} holds a key, signature or password; put it into the environment instead "
            "(AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_SAS_TOKEN, AWS_SECRET_ACCESS_KEY)"
        )
        raise ConfigError(msg)
    check_scheme(url)
    scheme = scheme_of(url)
    if scheme in EXTRAS:
        _need(scheme, url)
    import fsspec

    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        msg = f"{url} cannot be read: {scheme}:// needs a package that is not installed ({error})"
        raise ResourceError(msg) from error
    for name in ("azure", "botocore", "aiobotocore", "s3fs", "adlfs"):
        logging.getLogger(name).setLevel(logging.WARNING)  # azure tells every header of every request
    # our own listings know what a run has seen; those of fsspec would live as long as the process, and its instances
    # go by their arguments, among which the credentials of the environment are not
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True, **_from_url(kind, url)}
    if scheme in _AZURE:
        options |= _azure(url, options)
    try:
        made = kind(**options)
    except Exception as error:
        why = scrubbed(reason(error))
        msg = f"{url} cannot be opened ({why}). {_credentials(url)}"
        raise ResourceError(msg) from (None if holds_secret(_whole(error)) else error)
    return made, _account(made)


def _account(filesystem: Any) -> str:
    """Return the name of an Azure account, or the address that S3 is asked at."""
    client = getattr(filesystem, "service_client", None)
    if client is not None:
        return str(client.account_name or "")
    if EXTRAS.get(_protocol(filesystem)) == "s3":
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return ""


def _protocol(filesystem: Any) -> str:
    kind = filesystem.protocol
    return kind if isinstance(kind, str) else str(kind[0])


def _need(scheme: str, url: str) -> None:
    """Refuse a scheme whose package is not there.

    Raises:
        ResourceError: it says what to install.
    """
    extra = EXTRAS[scheme]
    package = {"azure": "adlfs", "s3": "s3fs"}[extra]
    try:
        importlib.import_module(package)
    except ImportError as error:
        msg = f"{url} needs the package {package}, which is not installed ({error}): pip install 'lungseg[{extra}]'"
        raise ResourceError(msg) from error


def _from_url(kind: Any, url: str) -> Mapping[str, Any]:
    """Return what a URL says besides the path, such as the account of an Azure URL."""
    found: Mapping[str, Any] = kind._get_kwargs_from_urls(url)
    return found


def _azure(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Azure's filesystem is made with; keys it takes from the environment by itself.

    Raises:
        ResourceError: no account is named.
        ConfigError: the URL names another account than the environment.
    """
    string = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    named = options.get("account_name")
    if string:
        own = dict(part.partition("=")[::2] for part in string.split(";")).get("AccountName")
        if named and own and named != own:
            msg = (
                f"{url} is in the account {named}, but AZURE_STORAGE_CONNECTION_STRING is of {own}; leave the account "
                "out of the URL, or take the connection string of the right one"
            )
            raise ConfigError(msg)
        return {}
    if not named and not os.environ.get("AZURE_STORAGE_ACCOUNT_NAME"):
        msg = (
            f"{url} names no account and the environment neither: set AZURE_STORAGE_CONNECTION_STRING, or "
            "AZURE_STORAGE_ACCOUNT_NAME and log in (az login, or a managed identity)"
        )
        raise ResourceError(msg)
    return {}


def _entry(item: Mapping[str, Any]) -> Entry:
    """Turn what fsspec says of a file into an entry."""
    if item["type"] != "file":
        return Entry(None)
    etag = str(item.get("etag") or item.get("ETag") or "").strip('"')
    changed = item.get("last_modified") or item.get("LastModified") or item.get("mtime") or item.get("created") or ""
    if hasattr(changed, "timestamp"):  # some packages say the same time in two ways
        changed = changed.timestamp()
    settings = item.get("content_settings") or {}
    md5 = settings.get("content_md5") if hasattr(settings, "get") else None
    if md5:
        known: str | None = bytes(md5).hex()
    else:  # S3: the ETag of an object that was written in one piece
        known = etag if "ETag" in item and re.fullmatch(r"[0-9a-f]{32}", etag) else None
    return Entry(int(item.get("size") or 0), etag or str(changed), known)
