"""What this process knows of remote folders: each is listed once, and all readers speak of the same version."""

from __future__ import annotations

from lungseg.errors import DataError
from lungseg.remote.storage import Entry, Storage
from lungseg.remote.urls import EXTRAS, scheme_of


class Memory:
    """Listings by URL of the folder, and single files by their own."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, Entry]] = {}
        self._files: dict[str, Entry] = {}
        self._whole: set[str] = set()

    def entry(self, url: str) -> Entry | None:
        """Return what is known of a file or folder, else ask; None where there is none."""
        found = self._files.get(url)
        if found is not None:
            return found
        if url in self._folders:
            return Entry(None)
        parent, _, name = url.rpartition("/")
        if parent in self._folders:
            return self._folders[parent].get(name)
        found = Storage.of(url).entry(url)
        if found is None:
            self.require_container(url)
        elif not found.is_folder:
            self._files[url] = found
        return found

    def children(self, url: str) -> dict[str, Entry] | None:
        """Return what a folder holds, name -> entry; None where there is no such folder.

        Raises:
            DataError: there is not even the container.
        """
        if url not in self._folders:
            found = Storage.of(url).children(url)
            if not found:
                self.require_container(url)
            if found is None:
                return None
            self._folders[url] = found
        return self._folders[url]

    def list_below(self, url: str) -> None:
        """Ask for all that lies below a folder at once, instead of folder by folder."""
        if url in self._whole:
            return
        self._whole.add(url)
        found = Storage.of(url).below(url)
        if not found:
            self.require_container(url)
            return
        listed: dict[str, dict[str, Entry]] = {}
        for path, entry in found.items():
            here, *rest = url, *path.split("/")
            for name in rest[:-1]:
                listed.setdefault(here, {})[name] = Entry(None)
                here = f"{here}/{name}"
            listed.setdefault(here, {})[rest[-1]] = entry
        self._folders.update(listed)

    def require_container(self, url: str) -> None:
        """Refuse a container, or bucket, that is not there: an empty folder would not say so.

        Raises:
            DataError: it names the container.
        """
        if scheme_of(url) in EXTRAS and Storage.of(url).lacks_container(url):
            scheme, _, rest = url.partition("://")
            name = rest.partition("/")[0].partition("@")[0]  # container@account
            account = Storage.of(url).account
            if EXTRAS[scheme_of(url)] == "s3":
                kind, inside = "bucket", f" at {account}" if account else ""
            else:
                kind, inside = "container", f" in the account {account}" if account else ""
            msg = (
                f"there is no {kind} {name}{inside} ({scheme}://{rest}); check its name, and whose credentials the "
                "environment holds"
            )
            raise DataError(msg)

    def take(self, files: dict[str, Entry]) -> None:
        """Take what another process knows of some files."""
        self._files.update(files)

    def forget(self) -> None:
        """Forget everything, so that it is asked again."""
        self._folders.clear()
        self._whole.clear()
        self._files.clear()


MEMORY = Memory()
