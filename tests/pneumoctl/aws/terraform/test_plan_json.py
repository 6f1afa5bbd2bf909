"""Plans read from JSON: changes and drift, without sensitive values."""

from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws.terraform.plan_json import SENSITIVE, Change, Planned, parse


def entry(address: str, actions: list[str], before: Any = None, after: Any = None, **more: Any) -> dict[str, Any]:
    change = {"actions": actions, "before": before, "after": after, **more.pop("change", {})}
    return {"address": address, "type": address.partition(".")[0], "mode": "managed", "change": change, **more}


def document(drift: list[dict[str, Any]], **expressions: dict[str, Any]) -> dict[str, Any]:
    resources = [{"address": f"aws_thing.{name}", "expressions": one} for name, one in expressions.items()]
    return {"resource_drift": drift, "configuration": {"root_module": {"resources": resources}}}


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (["create"], ["create"]),
        (["update"], ["update"]),
        (["delete"], ["delete"]),
        (["delete", "create"], ["replace"]),
        (["create", "delete"], ["replace"]),
        (["no-op"], []),
        (["read"], []),
        (["forget"], []),
    ],
)
def test_actions(actions: list[str], expected: list[str]) -> None:
    changes, drifted = parse({"resource_changes": [entry("aws_vpc.main", actions)]})
    assert [change.action for change in changes] == expected
    assert drifted == ()


def test_data_sources_are_no_changes() -> None:
    assert parse({"resource_changes": [entry("data.aws_ami.debian", ["create"], mode="data")]}) == ((), ())


def test_an_empty_plan() -> None:
    assert parse({}) == ((), ())


def test_attributes_before_and_after_without_what_is_sensitive() -> None:
    before = {
        "type": "t3.micro",
        "secret": "old",
        "tags": {"a": 1},
        "blocks": [{"key": "hidden", "size": 1}, {"size": 2}],
    }
    after = {
        "type": "t3.small",
        "secret": "new",
        "tags": {"a": 1},
        "blocks": [{"key": "hidden", "size": 1}, {"size": 2}],
    }
    marks = {"secret": True, "tags": {}, "blocks": [{"key": True}]}
    change = {"before_sensitive": marks, "after_sensitive": marks}
    ((parsed,), _) = parse(
        {"resource_changes": [entry("aws_thing.a", ["update"], before, after, change=change, action_reason="why")]}
    )
    assert parsed.before["secret"] == parsed.after["secret"] == SENSITIVE
    assert parsed.before["blocks"] == [{"key": SENSITIVE, "size": 1}, {"size": 2}]
    assert parsed.attributes == ("type",)
    assert parsed.reason == "why"
    assert "old" not in str(parsed) and "hidden" not in str(parsed)


def test_a_whole_block_that_is_sensitive() -> None:
    change = {"after_sensitive": {"blocks": True}}
    ((parsed,), _) = parse(
        {"resource_changes": [entry("aws_thing.a", ["create"], None, {"blocks": [{"k": 1}]}, change=change)]}
    )
    assert parsed.after == {"blocks": SENSITIVE} and parsed.before == {}


def test_drift_is_only_of_what_the_configuration_sets() -> None:
    set_ = {"type": {"constant_value": "t3.micro"}, "tags": {}}
    filled_in = entry("aws_thing.host", ["update"], {"type": "t3.micro", "ip": None}, {"type": "t3.micro", "ip": "1"})
    assert parse(document([filled_in], host=set_))[1] == ()
    changed = entry('aws_thing.host["a"]', ["update"], {"type": "t3.micro"}, {"type": "t3.large"})
    assert [change.address for change in parse(document([changed], host=set_))[1]] == ['aws_thing.host["a"]']
    unset = entry("aws_thing.host", ["update"], {"tags": None}, {"tags": {}})
    assert parse(document([unset], host=set_))[1] == ()


def test_drift_in_a_nested_block() -> None:
    expressions = {"disk": [{"encrypted": {}}]}
    filled_in = entry(
        "aws_thing.a", ["update"], {"disk": [{"encrypted": True}]}, {"disk": [{"encrypted": True, "id": 1}]}
    )
    opened = entry("aws_thing.a", ["update"], {"disk": [{"encrypted": True}]}, {"disk": [{"encrypted": False}]})
    gone = entry("aws_thing.a", ["update"], {"disk": [{"encrypted": True}]}, {"disk": []})
    assert [len(parse(document([change], a=expressions))[1]) for change in (filled_in, opened, gone)] == [0, 1, 1]


def test_something_deleted_behind_our_back_is_always_drift() -> None:
    gone = entry("aws_thing.a", ["delete"], {"id": "x"})
    assert [change.action for change in parse(document([gone]))[1]] == ["delete"]


def test_a_replacement_is_two_operations() -> None:
    changes = tuple(Change(str(number), "t", action, {}, {}) for number, action in enumerate(("create", "replace")))
    assert Planned(changes, (), Path("p"), False).operations == 3
