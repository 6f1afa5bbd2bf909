"""The table of faults in docs/training.md: cells are added one by one, and earlier measurements stay."""

from tests.lab.faults import training_table
from tests.lab.faults.paused_run import PHASES
from tests.lab.faults.test_training import FAULTS
from tests.lab.faults.training_table import BEGIN, DOCUMENT, END, with_cells


def test_a_cell_is_added_and_the_others_are_kept() -> None:
    text = f"before\n{BEGIN}\n{END}\nafter\n"
    for fault, phase, cell in (("hail", "data", "unit 3 s (8)"), ("rain", "proof", "a"), ("rain", "proof", "b")):
        text = with_cells(text, {(fault, phase): cell}, ("rain", "snow", "hail"), ("data", "proof"))

    table = ("| | data | proof |", "|---|---|---|", "| rain |  | b |", "| hail | unit 3 s (8) |  |")
    assert text == "\n".join(("before", BEGIN, *table, END, "after\n"))


def test_a_removed_fault_is_removed_from_the_table() -> None:
    text = f"{BEGIN}\n| | data |\n|---|---|\n| rain | a |\n| frost | b |\n{END}"
    assert with_cells(text, {}, ("rain",), ("data",)) == f"{BEGIN}\n| | data |\n|---|---|\n| rain | a |\n{END}"


def test_the_document_has_the_faults_and_phases_of_the_sweep_and_no_others() -> None:
    text = DOCUMENT.read_text()
    assert with_cells(text, {}, list(FAULTS), PHASES) == text
    measured = training_table.cells(text)
    assert measured and all(phase in FAULTS[fault].codes for fault, phase in measured)
