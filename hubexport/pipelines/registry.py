"""The tasks, and which of them a model is for."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TypeVar

from hubexport.errors import UsageError
from hubexport.pipelines.task import Found, Task, TaskOptions

AUTO = "auto"
"""The `--task` that leaves it to the model."""

_TASKS: dict[str, type[Task]] = {}
_Class = TypeVar("_Class", bound=type[Task])


def register(task: _Class) -> _Class:
    """Class decorator: makes a task known by its `name`."""
    _TASKS[task.name] = task
    return task


def tasks() -> dict[str, type[Task]]:
    """All tasks by name; every module of this package is a candidate for holding one."""
    _import_all()
    return dict(sorted(_TASKS.items()))


@functools.cache
def _import_all() -> None:
    package = importlib.import_module("hubexport.pipelines")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"hubexport.pipelines.{module.name}")


def check_name(name: str) -> None:
    """Fails where there is no such task.

    Raises:
      UsageError: there is none.
    """
    if name != AUTO and name not in list(tasks()):
        raise UsageError(
            f"there is no task {name!r}",
            [("tasks", ", ".join((AUTO, *tasks())))],
            "pass one of these, or none.",
        )


def choose_task(name: str, found: Found) -> type[Task]:
    """The task that was asked for, or that the model is for.

    Args:
      name: of a task, or `AUTO`.

    Raises:
      UsageError: there is none of that name, the model lacks what it needs, or nothing tells it.
    """
    check_name(name)
    known = tasks()
    if name != AUTO:
        if lacking := known[name].lacking(found):
            possible = [each for each in known if not known[each].lacking(found)]
            raise UsageError(
                f"the model is not for {name}",
                [found.origin, ("lacks", lacking), ("possible", ", ".join(possible) or "no task")],
                "pass another --task, or a model that was trained for this one.",
            )
        return known[name]
    declared = [each for each in known.values() if each.is_declared(found)]
    if len(declared) != 1:
        whys = [(each, task.lacking(found)) for each, task in known.items()]
        lacks = [(f"{each} lacks", why) for each, why in whys if why]
        names = ", ".join(each.name for each in declared) or "none by itself"
        raise UsageError(
            "it is not known what the model is for",
            [found.origin, ("it is for", names), *lacks],
            "pass --task.",
        )
    return declared[0]


def check_options(task: type[Task], options: TaskOptions) -> None:
    """Fails where something is said that the task does not have.

    Raises:
      UsageError: something is.
    """
    if others := {n: value for n, value in options.given().items() if n not in task.takes}:
        of_others = [
            (f"--{name} is for", ", ".join(n for n, each in tasks().items() if name in each.takes))
            for name in others
        ]
        raise UsageError(
            f"these options are not for {task.name}",
            [*((f"--{name}", str(value)) for name, value in others.items()), *of_others],
            "leave them out, or pass another --task.",
        )
