from __future__ import annotations

import errno

import pytest

from lungseg.remote.faults import Fault, kind_of, reason


def named(name, *bases, **attributes):
    """An error of a class of that name, as a package that is not here would raise it."""
    error = type(name, bases or (Exception,), {})("said")
    for key, value in attributes.items():
        setattr(error, key, value)
    return error


def caused(outer, cause):
    outer.__cause__ = cause
    return outer


CASES = {
    "reset": (ConnectionResetError("reset"), Fault.LOST),
    "time-out": (TimeoutError("late"), Fault.LOST),
    "azure response": (named("ServiceResponseError"), Fault.LOST),
    "azure cut": (named("IncompleteReadError"), Fault.LOST),
    "aiohttp payload": (named("ClientPayloadError"), Fault.LOST),
    "subclass by name": (named("Mine", type("ServiceRequestError", (Exception,), {})), Fault.LOST),
    "azure busy": (named("HttpResponseError", status_code=503), Fault.LOST),
    "s3 slow down": (
        caused(
            OSError(errno.EBUSY, "busy"), named("ClientError", response={"ResponseMetadata": {"HTTPStatusCode": 503}})
        ),
        Fault.LOST,
    ),
    "azure 403": (named("HttpResponseError", status_code=403), Fault.REFUSED),
    "azure login": (named("ClientAuthenticationError"), Fault.REFUSED),
    "s3 403": (PermissionError("Forbidden"), Fault.REFUSED),
    "s3 without keys": (named("NoCredentialsError"), Fault.REFUSED),
    "missing": (FileNotFoundError("x"), Fault.GONE),
    "azure 404": (named("ResourceNotFoundError", status_code=404), Fault.GONE),
    "azure 409": (named("HttpResponseError", status_code=409), Fault.OTHER),
    # botocore's ClientError with a status is no broken line, although aiohttp's ClientError is
    "s3 400": (named("ClientError", response={"ResponseMetadata": {"HTTPStatusCode": 400}}), Fault.OTHER),
    "bug": (ValueError("x"), Fault.OTHER),
    "wrapped reset": (caused(ValueError("x"), ConnectionResetError("reset")), Fault.LOST),
}


@pytest.mark.parametrize(("error", "kind"), CASES.values(), ids=CASES)
def test_kinds(error, kind):
    assert kind_of(error) is kind


def test_a_circle_of_causes_ends():
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert kind_of(one) is Fault.OTHER


def test_the_reason_is_the_last_cause_in_one_line_with_the_service_s_code():
    error = caused(ValueError("outer"), named("HttpResponseError", error_code="ContainerNotFound"))
    error.__cause__.args = ("no such\ncontainer",)
    assert reason(error) == "ContainerNotFound: no such container"


def test_a_long_reason_is_cut():
    assert len(reason(ValueError("x" * 1000))) == 303


def test_an_error_without_words_is_named():
    assert reason(TimeoutError()) == "TimeoutError"
