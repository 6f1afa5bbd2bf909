"""The table of faults in docs/training.md: cells are added one by one, and earlier measurements stay, marked."""

from tests.lab.faults import training_table
from tests.lab.faults.paused_run import PHASES
from tests.lab.faults.test_training import FAULTS
from tests.lab.faults.training_table import BEGIN, DOCUMENT, EARLIER, END, sweep_line, with_cells

FIRST, SECOND = "Measured at commit `abc`, on a day.", "Measured at commit `def`, on another."


def test_a_cell_is_added_and_the_others_are_kept() -> None:
    text = f"before\n{BEGIN}\n{END}\nafter\n"
    for fault, phase, cell in (("hail", "data", "unit 3 s (8)"), ("rain", "proof", "a"), ("rain", "proof", "b")):
        text = with_cells(text, {(fault, phase): cell}, ("rain", "snow", "hail"), ("data", "proof"), FIRST)

    table = ("| | data | proof |", "|---|---|---|", "| rain |  | b |", "| hail | unit 3 s (8) |  |")
    assert text == "\n".join(("before", BEGIN, FIRST, "", *table, END, "after\n"))


def test_cells_of_an_earlier_commit_have_a_mark_until_they_are_measured_again() -> None:
    text = with_cells(
        f"{BEGIN}\n{END}", {("rain", "data"): "a", ("rain", "proof"): "b"}, ("rain",), ("data", "proof"), FIRST
    )
    for _ in range(2):  # once, however many cells are added
        text = with_cells(text, {("rain", "data"): "c"}, ("rain",), ("data", "proof"), SECOND)
    assert training_table.cells(text) == {("rain", "data"): "c", ("rain", "proof"): f"b{EARLIER}"}
    assert sweep_line(text) == SECOND
    text = with_cells(text, {("rain", "proof"): "d"}, ("rain",), ("data", "proof"), SECOND)
    assert EARLIER not in text


def test_a_removed_fault_is_removed_from_the_table() -> None:
    text = f"{BEGIN}\n{FIRST}\n\n| | data |\n|---|---|\n| rain | a |\n| frost | b |\n{END}"
    assert with_cells(text, {}, ("rain",), ("data",), FIRST) == text.replace("| frost | b |\n", "")


def test_the_document_has_the_faults_and_phases_of_the_sweep_and_no_others() -> None:
    text = DOCUMENT.read_text()
    assert with_cells(text, {}, list(FAULTS), PHASES, sweep_line(text)) == text
    measured = training_table.cells(text)
    assert measured and all(phase in FAULTS[fault].codes for fault, phase in measured)
