"""`pathlib.Path` for a URL, as far as sources, the store and commands use it: to list, to ask, to read."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple, NoReturn, Self

from lungseg.errors import DataError
from lungseg.remote import settings
from lungseg.remote.urls import is_url, scheme_of

if TYPE_CHECKING:
    from lungseg.remote.cache import Cache
    from lungseg.remote.memory import Memory
    from lungseg.remote.storage import Entry


class RemotePath(PosixPath):
    """A file or folder at a URL, such as `abfs://container/folder`.

    What a folder holds is asked once a process (`forget` lets it be asked again), so that a whole run speaks of the
    same version of each file: one that is changed or deleted meanwhile is an error and not a mixture. Files are read
    through the cache that `lungseg.remote.settings` names. Whatever would touch a local file of that name instead
    raises `TypeError`.

    Example:
        >>> (RemotePath("s3://bucket/jsrt") / "images" / "a.png").relative_to(RemotePath("s3://bucket")).as_posix()
        'jsrt/images/a.png'
        >>> str(RemotePath("s3://bucket/jsrt/"))
        's3://bucket/jsrt'
    """

    __slots__ = ()

    def __str__(self) -> str:
        text = super().__str__()
        scheme, found, rest = text.partition(":/")
        return f"{scheme}://{rest.lstrip('/')}" if found else text

    def __fspath__(self) -> NoReturn:
        """Refuse to be taken for a local path."""
        msg = f"{self} is not a file of this machine"
        raise TypeError(msg)

    def __truediv__(self, key: Any) -> Any:
        """Join; an absolute local path stays one, as after a local folder."""
        return Path(key) if isinstance(key, str) and key.startswith("/") else super().__truediv__(key)

    def absolute(self) -> Self:
        """Return itself: a URL is absolute."""
        return self

    def resolve(self, strict: bool = False) -> Self:
        """Return itself: there are no links."""
        del strict
        return self

    def expanduser(self) -> Self:
        """Return itself."""
        return self

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there is such a file or folder."""
        del follow_symlinks
        return _memory().entry(str(self)) is not None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a file."""
        del follow_symlinks
        entry = _memory().entry(str(self))
        return entry is not None and not entry.is_folder

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder.

        Raises:
            DataError: there is not even the container.
        """
        del follow_symlinks
        entry = _memory().entry(str(self))
        return entry is not None and entry.is_folder

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return kind and size; times are 0, see `version`.

        Raises:
            FileNotFoundError: there is nothing of that name.
        """
        del follow_symlinks
        entry = self._entry()
        kind = stat.S_IFDIR if entry.is_folder else stat.S_IFREG
        return os.stat_result((kind | 0o444, 0, 0, 1, 0, 0, entry.size or 0, 0, 0, 0))

    def names(self, *, folders: bool) -> list[str]:
        """Return the names of the folders, or of the files, in this folder.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        return [name for name, entry in self._children().items() if entry.is_folder == folders]

    def iterdir(self) -> Iterator[Self]:  # type: ignore[override]
        """Yield what the folder holds.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        yield from (self / name for name in self._children())

    def list_below(self) -> None:
        """Ask for all that lies below the folder at once, instead of folder by folder."""
        _memory().list_below(str(self))

    def rglob(self, pattern: str, **_: Any) -> Iterator[Self]:  # type: ignore[override]
        """Yield all files below the folder.

        Args:
            pattern: only `*`.
        """
        if pattern != "*":
            msg = f"{pattern!r}: of a remote folder everything is listed (*)"
            raise ValueError(msg)
        self.list_below()
        waiting = [self]
        while waiting:
            here = waiting.pop()
            yield from (here / name for name in here.names(folders=False))
            waiting += [here / name for name in here.names(folders=True)]

    def glob(self, pattern: str, **_: Any) -> Iterator[Self]:  # type: ignore[override]
        """Yield what the folder holds.

        Args:
            pattern: only `*`.
        """
        if pattern != "*":
            msg = f"{pattern!r}: of a remote folder everything is listed (*)"
            raise ValueError(msg)
        return self.iterdir()

    def open(self, mode: str = "r", *_: Any, **options: Any) -> IO[Any]:  # type: ignore[override]
        """Open for reading.

        Raises:
            DataError: it is not there, or has changed since it was listed.
        """
        file = io.BytesIO(self.read_bytes())
        if "b" in mode:
            return file
        return io.TextIOWrapper(file, encoding=options.get("encoding"), newline=options.get("newline"))

    def read_bytes(self) -> bytes:
        """Read the file."""
        return self.fetch()

    def fetch(self, limit: int | None = None) -> bytes:
        """Read the file, or its first `limit` bytes.

        A whole file is kept in the cache; a beginning is taken from there, or read alone.

        Raises:
            FileNotFoundError: it is not there.
            IsADirectoryError: it is a folder.
            DataError: it has been deleted or changed since it was listed.
            ResourceError: the service cannot be reached or refuses, or the cache cannot be written.
        """
        from lungseg.remote.storage import Storage

        url, entry = str(self), self._entry()
        if entry.size is None:
            raise IsADirectoryError(21, "it is a folder", url)
        storage = Storage.of(url)
        end = entry.size if limit is None else min(limit, entry.size)
        try:
            cache, name = _cache(), self._name(entry)
            if not entry.version or (end < entry.size and not cache.holds(name, entry.size)):
                return storage.read(url, 0, end) if end else b""
            return cache.read(
                name,
                entry.size,
                lambda start, stop: storage.read(url, start, stop),
                lambda part: self._approve(part, entry),
                url,
            )[:end]
        except FileNotFoundError as error:
            msg = (
                f"{url} is not there any more: it was listed, and deleted or renamed before it was read. Put it back, "
                "or run the same command again to index the set as it is now"
            )
            raise DataError(msg) from error

    def version(self) -> str | None:
        """Return a text that changes whenever the file's content does, None where the service tells none.

        It is made of account, path, size and ETag, or the time of the last change; the content is not read.

        Raises:
            FileNotFoundError: there is no such file.
        """
        entry = self._entry()
        return f"{_identity(self)} {entry.size} {entry.version}" if entry.version else None

    def remembered(self, kind: str, make: Callable[[], str]) -> str:
        """Return what is to be known of the file's content: as noted in the cache, else made and noted.

        Args:
            kind: of the fact.
            make: reads it off the content.
        """
        entry = _memory().entry(str(self))
        if entry is None or not entry.version:
            return make()
        name = self._name(entry)
        found = _cache().fact(name, kind)
        if found is None:
            found = make()
            _cache().note(name, kind, found)
        return found

    def _entry(self) -> Entry:
        entry = _memory().entry(str(self))
        if entry is None:
            raise FileNotFoundError(2, "it is not there", str(self))
        return entry

    def _children(self) -> dict[str, Entry]:
        found = _memory().children(str(self))
        if found is None:
            raise FileNotFoundError(2, "there is no such folder", str(self))
        return found

    def _name(self, entry: Entry) -> str:
        from lungseg.remote.cache import name_of

        return name_of(_identity(self), entry.version, entry.size or 0)

    def _approve(self, part: Path, entry: Entry) -> None:
        """Refuse a download that is of another version than was listed.

        Raises:
            DataError: it is.
        """
        from lungseg.remote.storage import Storage

        if entry.md5 is not None:
            with part.open("rb") as file:
                if hashlib.file_digest(file, "md5").hexdigest() == entry.md5:
                    return
        now = Storage.of(str(self)).entry(str(self))
        if now is None:
            raise FileNotFoundError(2, "it is not there", str(self))
        if (now.size, now.version) != (entry.size, entry.version):
            msg = f"{self} was changed since it was listed; run the same command again to index the set as it is now"
            raise DataError(msg)


class Handed(NamedTuple):
    """What a worker process needs to know, to read the same versions into the same cache.

    Attributes:
        settings: of the cache.
        files: URL -> entry.
    """

    settings: settings.Settings
    files: dict[str, Entry]


def place(text: str | Path) -> Path:
    """Return the path of a text: local, or remote where it is a URL; `file://` is local.

    Example:
        >>> type(place("images/a.png")).__name__, type(place("abfs://images/a.png")).__name__
        ('PosixPath', 'RemotePath')
        >>> str(place("file:///data/jsrt"))
        '/data/jsrt'
    """
    if isinstance(text, Path):
        return text
    if not is_url(text):
        return Path(text)
    if scheme_of(text) == "file":
        return Path(text.partition("://")[2])
    return RemotePath(text)


def hand_over(paths: Iterable[Path]) -> Handed | None:
    """Return what this process knows of some files, for another; None where all are local."""
    files = {str(path): path._entry() for path in paths if isinstance(path, RemotePath) and path.exists()}
    return Handed(settings.current(), files) if files else None


def take_over(handed: Handed | None) -> None:
    """Take what another process handed over."""
    if handed is not None:
        settings.take(handed.settings)
        _memory().take(handed.files)


def forget() -> None:
    """Forget what folders hold, so that they are asked again; done before every job of a sweep."""
    if "lungseg.remote.memory" in sys.modules:
        _memory().forget()


def _identity(path: RemotePath) -> str:
    from lungseg.remote.storage import Storage

    return Storage.of(str(path)).identity(str(path))


def _memory() -> Memory:
    from lungseg.remote.memory import MEMORY  # with what it needs only where something is remote

    return MEMORY


def _cache() -> Cache:
    now = settings.current()
    return _opened(now.cache, now.limit)


@lru_cache(maxsize=8)
def _opened(folder: Path, limit: int) -> Cache:
    from lungseg.remote.cache import Cache

    return Cache(folder, limit)
