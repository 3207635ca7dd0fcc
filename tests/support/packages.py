"""Packages as django-q2 hands them to the receivers of its signals."""

from tests.support.rows import AT, NAME


def make_package(**values):
    package = {
        "id": "f" * 32,
        "name": NAME,
        "func": "math.floor",
        "args": (1,),
        "kwargs": {},
        "started": AT,
    }
    return {**package, **values}


def make_ended_package(**values):
    return make_package(**{"stopped": AT, "success": True, "result": 1, **values})
