"""Replace a method of moto by a function."""

import functools
from collections.abc import Callable
from typing import Any


def replaces(owner: type, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator for `function(original, self, ...)`. `original`: the replaced method, None if moto has none."""

    def place(function: Callable[..., Any]) -> Callable[..., Any]:
        original = getattr(owner, name, None)

        @functools.wraps(original or function)
        def standing_in(*args: Any, **kwargs: Any) -> Any:
            return function(original, *args, **kwargs)

        standing_in.__name__ = name
        setattr(owner, name, standing_in)
        return function

    return place
