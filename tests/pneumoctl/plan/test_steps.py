"""Plans as data: description, digests, stamps, ids."""

import subprocess
from dataclasses import replace
from pathlib import Path

from pneumoctl.files import Tree, tree
from pneumoctl.plan.steps import (
    Copy,
    Fetch,
    Link,
    Plan,
    Put,
    Run,
    Service,
    Step,
    describe,
    digest,
    file_matches,
    stamped,
    tree_matches,
)

SECRET = Put("password hunter2", "/etc/secret", 0o600, secret=True)
STEP = Step(
    "Everything",
    ("app", "web"),
    (
        Run(("echo", "hi")),
        Run(("sh", "-c", "a long script"), title="short words"),
        SECRET,
        Put("open", "/etc/open", 0o644),
        Copy(Tree("/here", "d"), "/there"),
        Link("/current", "one"),
        Fetch("/far", "/near"),
        Service("api", "restart"),
    ),
)


def test_the_description_is_complete_and_shows_no_secret() -> None:
    check = Step("Check it", ("operator",), (), check=True)
    assert describe(Plan("stack s", (STEP, replace(STEP, title="Done already"), check)), lambda s: s is STEP) == [
        "stack s",
        "  + Everything on app, web",
        "      run      echo hi",
        "      run      short words",
        "      write    /etc/secret (600, secret)",
        "      write    /etc/open (644)",
        "      copy     /here -> /there",
        "      link     /current -> one",
        "      fetch    /far -> /near",
        "      restart  api",
    ]


def test_a_digest_depends_on_every_action_secrets_included() -> None:
    changed = replace(STEP, actions=(*STEP.actions[:2], replace(SECRET, content="password other"), *STEP.actions[3:]))
    assert digest(STEP) == digest(replace(STEP, title="another title"))
    assert digest(STEP) != digest(changed)
    assert digest(STEP) != digest(replace(STEP, salt="what else it depends on"))


def test_a_step_is_identified_by_its_title_unless_it_has_an_id() -> None:
    assert Step("Title", (), ()).id == "Title" and Step("Title", (), (), id="x").id == "x"
    assert replace(Step("Title", (), (), id="x"), title="Other").id == "x"


def test_a_probe_that_knows_a_secret_file_does_not_show_it() -> None:
    assert file_matches(SECRET).subject == SECRET and "hunter2" not in repr(file_matches(SECRET))


def test_a_stamp_is_written_last_and_probed(tmp_path: Path) -> None:
    path = tmp_path / "stamp"
    step = stamped(Step("S", ("app",), (Run(("true",)),)), str(path))
    (probe,) = step.done_if
    put = step.actions[-1]
    assert isinstance(put, Put)
    assert subprocess.run(probe.argv, capture_output=True).returncode != 0
    path.write_text(put.content)
    assert subprocess.run(probe.argv).returncode == 0
    path.write_text("0" * 64 + "\n")
    assert subprocess.run(probe.argv).returncode != 0


def test_file_matches_compares_contents(tmp_path: Path) -> None:
    path = tmp_path / "it's a file; with $(signs)"
    put = Put("desired\n", str(path))
    probe = file_matches(put).argv
    assert subprocess.run(probe, capture_output=True).returncode != 0
    path.write_text("desired")
    assert subprocess.run(probe).returncode != 0
    path.write_text("desired\n")
    assert subprocess.run(probe).returncode == 0


def test_tree_matches_detects_any_change_of_a_tree_except_pythons_caches(tmp_path: Path) -> None:
    for root in (tmp_path / "here", tmp_path / "there"):
        (root / "sub dir").mkdir(parents=True)
        (root / "sub dir" / "it's.py").write_text("1")
        (root / "sub.py").write_text("2")
    copy = Copy(tree(tmp_path / "here"), str(tmp_path / "there"))

    def same() -> bool:
        return subprocess.run(tree_matches(copy).argv, capture_output=True).returncode == 0

    assert same()
    (tmp_path / "there" / "__pycache__").mkdir()
    (tmp_path / "there" / "__pycache__" / "x.pyc").write_text("x")
    assert same()
    (tmp_path / "there" / "sub.py").write_text("3")
    assert not same()
    (tmp_path / "there" / "sub.py").write_text("2")
    (tmp_path / "there" / "more").write_text("")
    assert not same()
    assert subprocess.run(tree_matches(Copy(copy.tree, "/no/such")).argv, capture_output=True).returncode != 0
