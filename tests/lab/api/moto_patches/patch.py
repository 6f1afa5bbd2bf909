"""Replace a method of moto by a function."""

import functools
from collections.abc import Callable
from typing import Any


def replaces(owner: type, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator for `function(original, self, ...)`. `original`: the replaced method, None if moto has none."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        original = getattr(owner, name, None)

        @functools.wraps(original or function)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return function(original, *args, **kwargs)

        replacement.__name__ = name
        setattr(owner, name, replacement)
        return function

    return decorate
