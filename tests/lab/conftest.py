"""The lab as fixtures: brought up once for each test session, always taken down; a failed test shows its logs."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.lab import two_host_vpc
from tests.lab.first_up import FirstUp, bring_up_in_steps
from tests.lab.machine.lab import Lab
from tests.lab.machine.requirements import missing
from tests.lab.shared import SharedStack
from tests.lab.stack_operator import Operator, ProcessRecorder
from tests.lab.training.host import TrainingHost, synthetic_data_set

LAB_FIXTURES = {"lab", "_shared_vpc", "interruption_tests"}
SharedResource = TypeVar("SharedResource", SharedStack[Any], two_host_vpc.SharedVpc)
_NAME = os.environ.get("PNEUMO_TEST_LAB", "test")
NAMES = (_NAME, *(f"{_NAME}{number}" for number in range(2, 10)))


AWS_SETTINGS = {"PNEUMO_APP_COUNT": "2", "PNEUMO_GPU_HOST": "true"}
LABS: list[Lab] = []  # the labs that are up in this process
STACKS: list[SharedStack[Any] | two_host_vpc.SharedVpc] = []


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """An empty lab for this test session; tests are skipped if this machine cannot run a lab."""
    with new_lab() as made:
        yield made


@pytest.fixture(autouse=True)
def _reset_labs() -> Iterator[None]:
    """After each test, switch all faults off and end all processes of the operator."""
    yield
    for lab in LABS:
        lab.reset()


@pytest.fixture(scope="session")
def _shared_vpc() -> Iterator[two_host_vpc.SharedVpc]:
    with new_lab() as lab:
        yield share(two_host_vpc.SharedVpc(lab))


@pytest.fixture
def vpc(_shared_vpc: two_host_vpc.SharedVpc) -> two_host_vpc.TwoHostVpc:
    """Two hosts in a small VPC in a separate lab, for tests of the lab itself."""
    return _shared_vpc.ready()


@pytest.fixture(scope="session")
def process_recorder(lab: Lab) -> Iterator[ProcessRecorder]:
    """Records every process of the operator, from the first on."""
    made = ProcessRecorder(lab)
    yield made
    made.close()


@pytest.fixture(scope="session")
def aws(lab: Lab, process_recorder: ProcessRecorder) -> SharedStack[FirstUp]:
    """The stack `default`: five hosts and a stopped GPU host. For fixtures of modules; tests use `operator`."""
    return share(SharedStack(lab, AWS_SETTINGS, bring_up_in_steps))


@pytest.fixture
def operator(aws: SharedStack[FirstUp]) -> Operator:
    """The operator of the stack of five hosts and a GPU host; the stack is in its desired state."""
    return aws.ready()


@pytest.fixture
def first_up(aws: SharedStack[FirstUp], operator: Operator) -> FirstUp:
    """How the stack came up."""
    return aws.evidence


@pytest.fixture
def training(aws: SharedStack[FirstUp], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingHost]:
    """The training host, with a data set in the bucket. It is off before and after each test."""
    made = TrainingHost(aws.ready())
    if "data" not in aws.prepared:
        made.operator.run("data", "push", str(synthetic_data_set(tmp_path_factory.mktemp("data") / "drawings")))
        aws.prepared.add("data")
    made.stop_host()
    yield made
    made.stop_host()


def share(stack: SharedResource) -> SharedResource:
    """Share a stack between tests. After a failed test, it is repaired or rebuilt."""
    STACKS.append(stack)
    return stack


@contextmanager
def new_lab(reset: bool = True) -> Iterator[Lab]:
    """An empty lab, reset after each test; the test is skipped if this machine cannot run a lab."""
    missing_requirements = missing()
    if missing_requirements:
        pytest.skip(f"no lab on this machine: {'; '.join(missing_requirements)}")
    with unused_name() as name:
        made = Lab(name)
        made.down()  # the remains of a session that was killed
        try:
            made.up()
            if reset:
                LABS.append(made)
            yield made
        finally:
            if made in LABS:
                LABS.remove(made)
            made.down()


@contextmanager
def unused_name() -> Iterator[str]:
    """A name that no other test session uses now."""
    for name in NAMES:
        path = Path(f"/run/lock/pneumolab-{name}")
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield name  # the file stays: whoever removed it could hand the same name to two others
            return
    pytest.fail(f"{len(NAMES)} runs of the lab's tests at once")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Extend the time limit: the first test that uses a lab may wait until the image is built and a stack is up."""
    for item in items:
        if LAB_FIXTURES & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the labs' logs with a failed test, and mark the shared stacks as suspect."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed or not LAB_FIXTURES & set(getattr(item, "fixturenames", ())):
        return
    for stack in STACKS:
        stack.suspect = True
    for lab in LABS:
        report.sections.append((f"logs of the lab {lab.paths.name}", lab.tail(25)))
