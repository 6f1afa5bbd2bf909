"""The rules of the upload queue, as functions in a real browser: which state a file gets."""

from tests.browser.conftest import Stack, Watched

QUEUE = "const queue = await import('/static/upload/queue.js');"


def run(stack: Stack, watched: Watched, script: str, argument: object = None) -> object:
    """What a script returns that has the functions of the queue as `queue` and `argument`."""
    watched.page.goto(stack.ui.url)
    return watched.page.evaluate(f"async (argument) => {{ {QUEUE} {script} }}", argument)


def test_a_film_of_another_folder_does_not_take_the_row_of_a_lost_one(stack: Stack, watched: Watched):
    script = """
        const file = { size: 9, lastModified: 5 };
        const lost = { key: 1, path: "ward/b/IM1", size: 9, modified: 5, state: "selected" };
        const list = queue.restored(1e6, { entries: [lost], leftOut: [] });
        const added = queue.add(list, ["ward/a/IM1", "ward/b/IM1", "IM1"].map((path) => ({ path, file })));
        return [added.map(([entry]) => [entry.key, entry.path]), list.leftOut];"""
    found = run(stack, watched, script)
    assert found == [[[2, "ward/a/IM1"], [1, "ward/b/IM1"], [3, "IM1"]], []]
