"""A tree that a host reads from a URL, or that is sent to it if it cannot."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pneumoctl.files import tree
from pneumoctl.plan.steps import Copy, Step
from pneumoctl.ssh import agent_session, archive
from pneumoctl.ssh.agent_client import Agents, SharedTree
from tests.pneumoctl.agent_process import LocalConnections
from tests.pneumoctl.ssh.local_agents import HOST, Start
from tests.serving import serving


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files in the folder `shelf`."""
    (tmp_path / "shelf").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Quiet, directory=str(tmp_path / "shelf"))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def shared(folder: Path, source: Path) -> SharedTree:
    with (folder / "shelf" / "tree.tar.gz").open("wb") as packed:
        archive.pack(str(source), (), packed)
        return SharedTree("/tree.tar.gz", packed.tell())


@pytest.mark.parametrize("fault", ["none", "gone", "cut short", "other contents", "nobody there"])
def test_a_shared_tree_is_read_from_its_url_or_else_sent(
    start: Start, agent: list[str], tmp_path: Path, web: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(200_000))
    at = shared(tmp_path, source)
    url, size = web + at.url, at.size
    packed = tmp_path / "shelf" / "tree.tar.gz"
    if fault == "gone":
        packed.unlink()
    elif fault == "cut short":
        packed.write_bytes(packed.read_bytes()[:-1000])
    elif fault == "other contents":
        packed.write_bytes(bytes(size))
    elif fault == "nobody there":
        url = "http://127.0.0.1:1/tree.tar.gz"
    sent: list[int] = []
    read = agent_session.frame
    monkeypatch.setattr(
        agent_session,
        "frame",
        lambda kind, *more: sent.append(kind == "part") or read(kind, *more),  # type: ignore[func-returns-value]
    )
    connections = LocalConnections(agent)
    agents = Agents(connections, "us", "us@here", "run", lambda _: SharedTree(url, size))  # type: ignore[arg-type]
    agents.lease(HOST)
    step = Step("Copy", (), (Copy(tree(source), str(tmp_path / "srv/tree")),))

    state, output = agents.act(HOST, step)

    with ThreadPoolExecutor() as pool:
        agents.close(pool)
    connections.end()
    assert any(sent) == (fault not in ("none", "other contents"))
    if fault == "other contents":
        assert state == "failed" and not (tmp_path / "srv/tree").exists(), output
    else:
        assert state == "done", output
        assert (tmp_path / "srv/tree/file").read_bytes() == (source / "file").read_bytes()
