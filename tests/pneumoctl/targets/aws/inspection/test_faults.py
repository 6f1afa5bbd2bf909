"""Each fault of a stack on aws is named with its next command."""

from typing import Any

import pytest

from pneumoctl.targets.aws.inspection import faults
from tests.pneumoctl.targets.aws.inspection.status_documents import (
    APPLY,
    BEFORE,
    DOOR,
    GOOD,
    HOST,
    NEW,
    SILENT,
    TRAIN,
    UP,
)

REPAIRED = {"name": "nginx", "next": "pneumoctl up, which repairs its address and rules"}
STOPPED = {"units": {"pneumoctl-api": "inactive"}, "not_ready": {"api": "it does not run"}}
NEARLY_FULL = {"store_warning": "the store is 83 % full (850 of 1024 MB)"}
CLOCK_AHEAD = {"clock_warning": "this host's clock is 40 days ahead of that of Redis"}
FILMS_FAILED = {"received_warning": "1 received film has no result, because scoring failed"}
GATEWAY = {"serves": False, "error": "the front door answers 502", "next": "pneumoctl logs nginx"}
ENDED = {
    "serves": False,
    "error": "the certificate of the front door ended 2.0 days ago",
    "next": "pneumoctl configure",
}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (GOOD | {"hosts": [HOST, TRAIN, TRAIN | {"state": "running", "leased": True}]}, []),
        (
            GOOD | {"hosts": [HOST | {"not_ready": {"api": "uploads cannot be stored (Redis cannot be reached)"}}]},
            ["app-0: api is not ready: uploads cannot be stored (Redis cannot be reached); next: pneumoctl logs redis"],
        ),
        (
            GOOD | {"hosts": [HOST | NEARLY_FULL, HOST | NEARLY_FULL | {"name": "app-1"}]},
            ["app-0: the store is 83 % full (850 of 1024 MB); next: pneumoctl results export PATH, and: pneumoctl "],
        ),
        (
            GOOD | {"hosts": [HOST | FILMS_FAILED, HOST | FILMS_FAILED | {"name": "app-1"}]},
            [
                "app-0: 1 received film has no result, because scoring failed; next: look at /received on the web page"
                ", and: pneumoctl logs api"
            ],
        ),
        (
            GOOD | {"hosts": [HOST, HOST | CLOCK_AHEAD | {"name": "app-1"}]},
            [
                "app-1: this host's clock is 40 days ahead of that of Redis; next: set the clock of that host and keep "
                "it synchronised; once it is right, restart the API: pneumoctl ssh app-1 -- sudo systemctl restart pneu"
            ],
        ),
        (
            GOOD | {"hosts": [HOST | NEARLY_FULL | {"not_ready": {"api": "uploads cannot be stored (full)"}}]},
            ["app-0: api is not ready: uploads cannot be stored (full); next: pneumoctl results export PATH, and: pn"],
        ),
        (
            GOOD | {"hosts": [HOST | {"failed": ["pneumoctl-backup.service"]}]},
            ["app-0: pneumoctl-backup is failed; next: pneumoctl ssh app-0 -- sudo journalctl -n 50 -u pneu"],
        ),
        (
            GOOD | {"hosts": [HOST | {"units": {"pneumoctl-api": "inactive", "redis-server": "inactive"}}]},
            [
                "app-0: pneumoctl-api is stopped and takes no uploads, as after a command that was killed; "
                "next: pneumoctl configure app-0",
                "app-0: redis-server is inactive; next: pneumoctl logs redis",
            ],
        ),
        (GOOD | {"hosts": [HOST | {"disk_percent": 89}]}, []),
        (
            GOOD | {"hosts": [HOST | {"disk_percent": 100}]},
            ["app-0: its disk is 100 % full; next: pneumoctl ssh app-0"],
        ),
        (GOOD | {"hosts": [HOST, SILENT]}, ["web-0: no answer within 4 s; next: pneumoctl ssh web-0"]),
        (
            GOOD | {"hosts": [SILENT | {"name": "app-0"}, SILENT | {"name": "nginx"}, SILENT]},
            ["nginx: no answer within 4 s; next: ", "app-0, web-0: not asked, because nginx does not answer; next: "],
        ),
        (GOOD | {"hosts": [HOST | {"units": {}}]}, ["app-0: it does not report its services"]),
        (GOOD | {"hosts": [HOST | {"state": "stopped"}]}, ["app-0: it is stopped in EC2; next: pneumoctl up"]),
        (GOOD | {"hosts": [TRAIN | {"state": "gone"}]}, ["train: it is gone in EC2, not stopped; next: pneumoctl up"]),
        (
            GOOD | {"hosts": [TRAIN | {"state": "running"}]},
            ["train: it is running in EC2, not stopped; next: pneumoctl gpu stop"],
        ),
        (
            GOOD | {"front_door": DOOR | ENDED},
            ["the certificate of the front door ended 2.0 days ago; next: pneumoctl c"],
        ),
        (
            GOOD | {"aws_error": "denied", "aws_next": "ask"},
            ["AWS: denied; next: ask"],
        ),
        (GOOD | {"working": [UP, APPLY]}, []),
        (GOOD | {"working": [APPLY | {"command": "terraform plan"}]}, []),
        (GOOD | {"working": [APPLY], "unfinished": True}, ["terraform: it still changes the stack, left by a command"]),
        (
            GOOD | {"unfinished": True},
            ["terraform: its last change of the stack was not completed; next: pneumoctl up"],
        ),
        (
            GOOD
            | {"hosts": [HOST | {"state": "gone"}, TRAIN | {"state": "running"}], "unfinished": True}
            | {"unfinished_teardown": {"exported": "/e/results", "directory": True}},
            [
                "train: it is running in EC2, not stopped; next: pneumoctl gpu stop",
                "a teardown was not completed; it has exported the results to /e/results; next: pneumoctl teardown, ",
            ],
        ),
        (
            GOOD
            | {"hosts": [HOST | {"disk_percent": 97, "units": {"pneumoctl-api": "inactive"}}, SILENT | REPAIRED]}
            | {"unfinished_teardown": {"exported": "", "directory": True}},
            [
                "a teardown was not completed",
                "app-0: its disk is 97 % full",
                "nginx: no answer within 4 s; next: pneumoctl teardown, which completes it",
            ],
        ),
        (
            GOOD
            | {"hosts": [HOST | {"state": "gone"}, SILENT, TRAIN | {"state": "running"}, TRAIN | {"state": "gone"}]}
            | {"working": [APPLY], "unfinished": True, "front_door": DOOR | GATEWAY}
            | {"unfinished_teardown": {"exported": "/e/results", "directory": True}},
            [
                "train: it is running in EC2, not stopped; next: pneumoctl gpu stop",
                "a teardown was killed, and its terraform still destroys the stack; it has exported the results to "
                "/e/results; next: pneumoctl teardown, which waits for it and completes the teardown",
            ],
        ),
        (
            GOOD
            | {"hosts": [HOST | STOPPED, HOST | {"state": "gone"}, SILENT | {"name": "nginx"}, SILENT]}
            | {"front_door": DOOR | GATEWAY, "strays": [NEW], "working": [UP | {"command": "pneumoctl teardown"}]},
            [],
        ),
        (
            GOOD
            | {"hosts": [HOST | STOPPED, HOST | {"units": {"redis-server": "failed"}}, SILENT]}
            | {"front_door": DOOR | GATEWAY, "working": [UP | {"command": "pneumoctl configure"}]},
            ["app-0: redis-server is failed; next: pneumoctl logs", "web-0: no answer within 4 s; next: pneumoctl ssh"],
        ),
        (GOOD | {"not_imported": "/a b"}, ["app-0: results in /a b were not imported into the new store; next: "]),
        (BEFORE | {"strays": [NEW], "working": [UP, APPLY], "unfinished": True}, []),
        (BEFORE | {"strays": [NEW], "unfinished": True}, ["terraform: its last", "not in the inventory: web-0 i-9"]),
        (
            BEFORE | {"strays": [NEW], "elsewhere": True},
            ["1 instance of this stack in eu-west-1, made from another mac"],
        ),
    ],
)
def test_every_fault_is_named_with_the_next_command(document: dict[str, Any], expected: list[str]) -> None:
    found = [str(fault) for fault in faults.of_stack(document)]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected
    assert all("; next: " in line for line in found)
