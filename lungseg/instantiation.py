"""One node of a config to the object it names; called by `lungseg.build` and `lungseg.build_data` only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from lungseg.errors import ConfigError, LungsegError

Config = Mapping[str, Any]


def make(node: Any, key: str, **given: Any) -> Any:
    """Instantiate one node; an error of ours comes out as itself, any other names the key.

    Args:
        node: with a `_target_`.
        key: of the node in the config, for the message.
        given: arguments that only code can know.

    Raises:
        ConfigError: the class refuses its arguments, or cannot be imported.
    """
    try:
        return instantiate(node, _convert_="all", **given)
    except InstantiationException as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
            if isinstance(cause, LungsegError):
                raise cause from None
        what = f"{type(cause).__name__}: {cause}"
        msg = f"{key}: {node.get('_target_')} cannot be built: {what}. Check the keys below {key}"
        raise ConfigError(msg) from error
