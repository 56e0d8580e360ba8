"""Many problems in one error, and texts as Hydra's grammar takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lungseg.errors import ConfigError


def quoted(text: str) -> str:
    r"""Quote a text for Hydra's grammar.

    Example:
        >>> quoted("it's")
        "'it\\'s'"
    """
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", re.sub(r"(\\+)$", r"\1\1", text)) + "'"


def raise_all(problems: Iterable[str]) -> None:
    """Raise one error that names all problems, if there are any.

    Raises:
        ConfigError: there are.
    """
    found = list(dict.fromkeys(problems))
    if len(found) == 1:
        raise ConfigError(found[0])
    if found:
        more = f"\n  - and {len(found) - 10} more" if len(found) > 10 else ""
        raise ConfigError(f"{len(found)} problems:" + "".join(f"\n  - {text}" for text in found[:10]) + more)


def split(error: ConfigError) -> list[str]:
    """Return the problems that an error of `raise_all` names."""
    head, *rest = str(error).split("\n  - ")
    return rest or [head]


def grammar_problem(line: str, error: Exception) -> str:
    """Say what Hydra's grammar does not take."""
    if "=" not in line:
        return f"`{line}` is no verb and no key=value"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else "cannot be read"
    key, _, value = line.partition("=")
    return f"{line}: {reason[0].lower()}{reason[1:]}; to take the value as it is, quote it twice: \"{key}='{value}'\""
