"""The lab as a fixture: up once for a run of the tests, always taken down, its logs shown with a test that failed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import small
from tests.lab.lab import Lab
from tests.lab.machine import missing
from tests.lab.operated import Abandoned, Arrival, Operator, Watch, abandon, arrive
from tests.lab.training import Training, drawings

NAMES = ("test", *(f"test{number}" for number in range(2, 10)))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab of this run's own, empty at first; the test is skipped where no lab can run."""
    wanting = missing()
    if wanting:
        pytest.skip(f"no lab on this machine: {'; '.join(wanting)}")
    with own_name() as name:
        made = Lab(name)
        made.down()  # what a run left that was killed
        try:
            made.up()
            yield made
        finally:
            made.down()


@pytest.fixture(scope="session")
def stack(lab: Lab) -> small.Stack:
    """Two hosts in a small VPC, for tests of the lab itself; each test leaves both up."""
    return small.build(lab)


@pytest.fixture(scope="session")
def watch(lab: Lab) -> Iterator[Watch]:
    """Every process of the operator's, from the first on."""
    made = Watch(lab)
    yield made
    made.close()


@pytest.fixture(scope="session")
def operator(lab: Lab, watch: Watch) -> Iterator[Operator]:
    """Who runs pneumoctl in the lab; there is no stack yet."""
    yield Operator(lab)
    lab.fault.clear()


@pytest.fixture(scope="session")
def arrived(operator: Operator) -> Arrival:
    """The stack `default`, up; the tests of it follow each other in the order of their files, and the last ends it."""
    return arrive(operator)


@pytest.fixture(scope="session")
def abandoned(arrived: Arrival, operator: Operator) -> Abandoned:
    """The GPU host is on and nobody looks after it; from here on the stack is wished with one."""
    return abandon(operator)


@pytest.fixture(scope="session")
def serving() -> Iterator[Operator]:
    """A stack of its own that serves, with one host of each role at first; PNEUMO_STANDING names a lab to keep."""
    wanting = missing()
    if wanting:
        pytest.skip(f"no lab on this machine: {'; '.join(wanting)}")
    wishes = {"PNEUMO_APP_COUNT": "1", "PNEUMO_WEB_COUNT": "1"}
    if standing := os.environ.get("PNEUMO_STANDING"):
        made = Operator(Lab(standing), wishes)
        made.run("up", "-y")
        yield made
        return
    with own_name() as name:
        lab = Lab(name)
        lab.down()
        try:
            lab.up()
            made = Operator(lab, wishes)
            made.run("up", "-y")
            yield made
        finally:
            lab.down()


@pytest.fixture(scope="session")
def _trainable(serving: Operator, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The stack that serves, with a GPU host, which is stopped, and a data set in its bucket."""
    serving.wishes["PNEUMO_GPU_HOST"] = "true"
    serving.run("up", "-y")
    serving.run("data", "push", str(drawings(tmp_path_factory.mktemp("data") / "drawings")))
    return Training(serving)


@pytest.fixture
def training(_trainable: Training) -> Iterator[Training]:
    """The training host, off again after each test, whatever became of it."""
    yield _trainable
    if _trainable.operator.directory.exists():
        _trainable.operator.run("gpu", "stop")


@contextmanager
def own_name() -> Iterator[str]:
    """A name that no other run of the tests uses now."""
    for name in NAMES:
        path = Path(f"/run/lock/pneumolab-{name}")
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            try:
                yield name
            finally:
                path.unlink(missing_ok=True)
            return
    pytest.fail(f"{len(NAMES)} runs of the lab's tests at once")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that uses the lab may have to wait until the hosts' image is built."""
    for item in items:
        if {"lab", "serving"} & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    used = getattr(item, "funcargs", {})
    serving = used.get("serving")
    lab = serving.lab if isinstance(serving, Operator) else used.get("lab")
    if report.failed and isinstance(lab, Lab):
        report.sections.append(("the lab's logs", lab.tail(25)))
