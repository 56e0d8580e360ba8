"""What the errors of storage services mean: lost for good, refused, not there, or worth another try.

Every service's package has its own errors, and wraps those of others. They are told by the names of their classes and
their HTTP status, anywhere in the chain of causes, so that none of the packages must be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

_LOST = {
    "ConnectionError", "TimeoutError", "FSTimeoutError", "gaierror",
    "ServiceRequestError", "ServiceResponseError", "IncompleteReadError",  # azure
    "ClientError", "ClientPayloadError", "ServerDisconnectedError",  # aiohttp; botocore's ClientError has a status
    "HTTPClientError", "ResponseStreamingError", "IncompleteRead", "ResponseParserError",  # botocore, s3fs
}  # fmt: skip
_REFUSED = {
    "ClientAuthenticationError", "CredentialUnavailableError",  # azure
    "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "UnauthorizedSSOTokenError",  # botocore
    "PermissionError",
}  # fmt: skip
_BUSY = {408, 429, 500, 502, 503, 504}


class Fault(Enum):
    """The kinds of errors that are told apart."""

    GONE = "gone"
    REFUSED = "refused"
    LOST = "lost"
    OTHER = "other"


def kind_of(error: BaseException) -> Fault:
    """Return what an error means."""
    chain = list(_chain(error))
    names = {cls.__name__ for each in chain for cls in type(each).__mro__}
    states = {state for each in chain if (state := _status(each)) is not None}
    if states & {401, 403} or names & _REFUSED:
        return Fault.REFUSED
    if 404 in states or "FileNotFoundError" in names:
        return Fault.GONE
    if states:
        return Fault.LOST if states & _BUSY else Fault.OTHER
    return Fault.LOST if names & _LOST else Fault.OTHER


def reason(error: BaseException) -> str:
    """Return the last cause in one line, with the service's own code where it has one."""
    last = error
    for each in _chain(error):
        if str(each).strip():
            last = each
    text = " ".join(str(last).split())
    code = next((code for each in _chain(error) if (code := _code(each))), None)
    told = text if len(text) <= 300 else f"{text[:300]}..."
    return f"{code}: {told}" if code and code not in told else told or type(last).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    here: BaseException | None = error
    while here is not None and id(here) not in seen:
        seen.add(id(here))
        yield here
        here = here.__cause__ or here.__context__


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an error of azure, botocore or aiohttp carries."""
    found = getattr(error, "status_code", None) or getattr(error, "status", None)
    response = getattr(error, "response", None)
    if found is None and isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return found if isinstance(found, int) else None


def _code(error: BaseException) -> str | None:
    """Return the code by which a service names an error, such as `AuthenticationFailed`."""
    found = getattr(error, "error_code", None)
    response = getattr(error, "response", None)
    if found is None and isinstance(response, dict):
        found = response.get("Error", {}).get("Code")
    return None if found is None else str(getattr(found, "value", found))
