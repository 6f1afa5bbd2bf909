"""Put a function in the place of one of moto's methods."""

import functools
from collections.abc import Callable
from typing import Any


def replaces(owner: type, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates `function(original, self, ...)`; `original`: the method it stands in for, None where there was none."""

    def place(function: Callable[..., Any]) -> Callable[..., Any]:
        original = getattr(owner, name, None)

        @functools.wraps(original or function)
        def standing_in(*args: Any, **kwargs: Any) -> Any:
            return function(original, *args, **kwargs)

        standing_in.__name__ = name
        setattr(owner, name, standing_in)
        return function

    return place
