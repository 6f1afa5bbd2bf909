"""moto's dispatcher, with a clear error for a service that it does not know."""

import io
from contextlib import redirect_stdout
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app


class Dispatcher(DomainDispatcherApplication):
    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._backends: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """moto: lists its folders for each request; for an unknown host it prints a line and raises AttributeError."""
        if host not in self._backends:
            self._backends[host] = self._found(host)
        return self._backends[host]

    def _found(self, host: str | None) -> Any:
        with redirect_stdout(io.StringIO()):
            backend = super().get_backend_for_host(host)
        if host and not backend:
            raise NotImplementedError(f"no service at {host}")
        return backend
