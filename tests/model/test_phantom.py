"""Drawn radiographs: the same for the same seed, different otherwise, and with the parts they claim."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.images.decode import decode


def test_drawing_is_a_grey_square_of_the_wanted_size() -> None:
    for size in (64, 96, 512):
        drawing = phantom.draw(1, size)
        assert drawing.mode == "L" and drawing.size == (size, size)


def test_same_arguments_same_picture() -> None:
    first, second = phantom.draw(4, 128, opacity=True), phantom.draw(4, 128, opacity=True)
    assert first.tobytes() == second.tobytes()
    assert phantom.png(4, 128) == phantom.png(4, 128)


def test_drawing_never_changes_between_versions() -> None:
    """Bundles hold the score of a drawing: its brightness map is pinned, to a rounding step of the processor."""
    drawing = np.asarray(phantom.draw(7, 512, opacity=True), dtype=float)
    cells = drawing.reshape(4, 128, 4, 128).mean(axis=(1, 3))
    expected = [
        [63.78, 151.36, 159.15, 66.69],
        [140.08, 132.74, 132.29, 145.12],
        [127.29, 163.79, 184.95, 142.71],
        [161.84, 203.7, 200.59, 171.14],
    ]
    assert cells == pytest.approx(np.array(expected), abs=0.05)


def test_random_numbers_are_the_stable_bits_of_pcg64() -> None:
    dice = phantom._Random(3)
    raw = np.random.PCG64(3).random_raw(5)
    for number in raw[:4]:
        assert dice.uniform(2, 4) == pytest.approx(2 + 2 * (int(number) >> 40) / 2**24, abs=1e-6)


def test_other_seeds_give_other_pictures() -> None:
    digests = {hashlib.sha256(phantom.draw(seed, 96).tobytes()).digest() for seed in range(30)}
    assert len(digests) == 30


@pytest.mark.parametrize("seed", range(10))
def test_anatomy_lies_where_it_should(seed: int) -> None:
    film = np.asarray(phantom.draw(seed, 400), dtype=float)
    spine = film[120:280, 190:210].mean()
    left_lung, right_lung = film[130:220, 260:310].mean(), film[130:220, 90:140].mean()
    assert spine > right_lung + 60 and spine > left_lung + 40
    assert film[300:340, 100:130].mean() > right_lung + 30  # below the diaphragm
    heart, mirrored = film[210:260, 245:280].mean(), film[210:260, 120:155].mean()
    assert heart > mirrored + 15  # at the viewer's right
    assert film[:20, :20].mean() < 40  # air beside the neck


@pytest.mark.parametrize("seed", range(10))
def test_opacity_brightens_the_lungs(seed: int) -> None:
    plain = np.asarray(phantom.draw(seed, 400), dtype=float)
    opaque = np.asarray(phantom.draw(seed, 400, opacity=True), dtype=float)
    assert opaque[100:250, 70:330].mean() > plain[100:250, 70:330].mean() + 5


def test_png_says_that_it_is_a_drawing() -> None:
    content = phantom.png(2, 128)
    assert b"no radiograph" in content
    assert decode(content).grey.tobytes() == phantom.draw(2, 128).tobytes()


def test_tree_is_laid_out_like_the_public_set(tmp_path: Path) -> None:
    phantom.tree(tmp_path, patients=6, seed=1, size=64)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpeg")}
    assert {name.rpartition("/")[0] for name in names} == {
        f"{split}/{label}" for split in ("train", "test") for label in ("NORMAL", "PNEUMONIA")
    }
    pattern = re.compile(
        r"(train|test)/(NORMAL/(NORMAL2-)?IM-\d{4}-\d{4}|PNEUMONIA/person\d+_(bacteria|virus)_\d+)\.jpeg"
    )
    assert all(pattern.fullmatch(name) for name in names)
    assert any("NORMAL2-IM" in name for name in names) and any("/IM-" in name for name in names)
    people = [re.sub(r"_\d+\.jpeg|-\d{4}\.jpeg", "", Path(name).name) for name in names]
    assert len(people) > len(set(people)) == 24  # several pictures of some
    trained = {person for name, person in zip(names, people, strict=True) if name.startswith("train")}
    tested = {person for name, person in zip(names, people, strict=True) if name.startswith("test")}
    assert not trained & tested


def test_tree_holds_no_picture_twice_and_labels_are_drawn(tmp_path: Path) -> None:
    phantom.tree(tmp_path, patients=4, seed=2, size=64)
    files = sorted(tmp_path.rglob("*.jpeg"))
    assert len({path.read_bytes() for path in files}) == len(files)
    means = {
        label: np.mean([np.asarray(Image.open(path))[16:40, 12:52].mean() for path in files if label in path.parts])
        for label in ("NORMAL", "PNEUMONIA")
    }
    assert means["PNEUMONIA"] > means["NORMAL"] + 3


def test_trees_of_one_seed_are_equal(tmp_path: Path) -> None:
    for name in "ab":
        phantom.tree(tmp_path / name, patients=2, seed=3, size=64)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / name).rglob("*.jpeg")} for name in "ab")
    assert first == second and first


def test_command_writes_a_picture_and_says_what_it_is(tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    command = [sys.executable, "-m", "model.phantom", str(out), "--seed", "5", "--size", "100", "--opacity"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert "drawing" in result.stdout and "no radiograph" in result.stdout
    assert out.read_bytes() == phantom.png(5, 100, opacity=True)


@pytest.mark.parametrize(("words", "code"), [(("/dev/null/x.png",), 1), (("x.png", "--size", "0"), 2)])
def test_a_file_that_cannot_be_written_is_an_error_and_no_traceback(
    words: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["model.phantom", *words])
    with pytest.raises(SystemExit) as ended:
        phantom.main()
    assert ended.value.code == code and "error: " in capsys.readouterr().err
