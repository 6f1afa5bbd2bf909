"""`plan` of a changed setting."""

from tests.lab.stack_operator import Operator


def test_a_plan_of_a_changed_setting_says_what_it_adds_and_costs(operator: Operator) -> None:
    document = operator.json("plan", "--exit-code", code=3, WEB_COUNT="2", MONITORING_TYPE="t3.medium")

    assert {(change["address"], change["action"]) for change in document["changes"]} >= {
        ('aws_instance.host["web-1"]', "create"),
        ('aws_instance.host["monitoring"]', "update"),
    }
    priced = {line["address"]: line for line in document["lines"] if "disk" not in line["what"]}
    assert 0.01 < priced['aws_instance.host["web-1"]']["usd_per_hour"] < 0.1
    assert document["usd_per_month"] > 700 * priced['aws_instance.host["web-1"]']["usd_per_hour"]
    assert document["prices"]["date"][:2] == "20"
