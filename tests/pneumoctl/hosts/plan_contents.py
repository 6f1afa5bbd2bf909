"""The titles, the files and the steps of a plan."""

from pneumoctl.plan.steps import Plan, Put, Step


def titles(plan: Plan) -> list[str]:
    return [step.title for step in plan.steps]


def files(plan: Plan) -> dict[tuple[str, str], Put]:
    """(host, path) -> the file."""
    return {
        (step.hosts[0], action.path): action
        for step in plan.steps
        for action in step.actions
        if isinstance(action, Put) and not step.needed_by
    }


def named(plan: Plan, title: str) -> Step:
    return next(step for step in plan.steps if step.title == title)
