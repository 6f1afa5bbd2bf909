"""Settings and a folder's name that must not reach or break a service."""

HOSTILE = {
    "GUNICORN_CMD_ARGS": "--chdir=/nonexistent",
    "PROMETHEUS_MULTIPROC_DIR": "/nonexistent",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONSTARTUP": "/nonexistent",
    "FLASK_DEBUG": "1",
    "MAX_PENDING": "none",
    "API_TOKEN_PREVIOUS": "short",
    "MAX_WAIT": "never",
    "BASH_ENV": "/nonexistent",
    "LD_PRELOAD_OF_NO_MEANING": "1",
}
ODD = "%o%(h)s#$x '\\\"`;é"  # the name of the state's folder; short: a socket lies below it
