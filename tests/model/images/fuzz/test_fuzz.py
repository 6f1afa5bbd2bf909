"""The fuzz of the decoders finds nothing in them, and every kind of fault that is put into one."""

import os
import re
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from tests.model.images.fuzz.corpus import built
from tests.model.images.fuzz.fuzz import Corpus

ROOT = Path(__file__).parents[4]
FILES = 800
CODECS = {"native", "RLE", "PNG", "JPEG", "JPEG lossless", "JPEG-LS", "JPEG 2000"}
# A decoder whose n-th file has the n-th fault, and the words of the fuzz about each.
FAILURES = [
    "raised ZeroDivisionError",
    "ended its process: SIGSEGV",
    "ended its process: exit code 3",
    "used 2.0 s of CPU time",
    "printed Corrupt JPEG data",
    "UserWarning: odd",
    "raised MemoryError",
    "the stream shows the damage",
]
SCRIPT = """
import ctypes, os, signal, sys, warnings
from types import SimpleNamespace
from PIL import Image
from model.images.limits import Refused
from tests.model.images.fuzz import decoding, fuzz

def hang():
    while True:
        pass

faults = [
    lambda: 1 / 0,
    lambda: os.kill(os.getpid(), signal.SIGSEGV),
    lambda: os._exit(3),
    hang,
    lambda: ctypes.CDLL(None).puts(b"Corrupt JPEG data"),
    lambda: warnings.warn("odd"),
    lambda: bytearray(400_000_000),
    lambda: None,
]
corpus = fuzz.Corpus(None)
fault_of = {corpus.case(int(sys.argv[2]) + number)[1].content: fault for number, fault in enumerate(faults)}

def decode(content):
    fault_of[content]()
    return SimpleNamespace(grey=Image.new("L", (1, 1)))

decoding.decode = decode
sys.exit(fuzz.main(sys.argv[1:]))
"""


def fuzzed(*words: str, folder: Path, data: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *words, "--failures", str(folder)]
    environment = {**os.environ, "PNEUMO_DATA": data}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


def check(files: int, tmp_path: Path, data: str = "") -> None:
    ended = fuzzed("-m", "tests.model.images.fuzz", "--files", str(files), folder=tmp_path / "found", data=data)
    assert ended.returncode == 0 and not ended.stderr, ended.stdout + ended.stderr
    assert f"\n{files} files: " in ended.stdout and "failures: 0" in ended.stdout


def test_damaged_files_are_refused_or_decoded(tmp_path: Path) -> None:
    check(FILES, tmp_path)


@pytest.mark.repeat
def test_many_damaged_files_are_refused_or_decoded(tmp_path: Path) -> None:
    check(30_000, tmp_path)


@pytest.mark.repeat
def test_damaged_real_films_are_refused_or_decoded(tmp_path: Path, data_root: Path) -> None:
    check(5000, tmp_path, str(data_root))


def test_each_fault_of_a_decoder_is_found_and_its_file_saved(tmp_path: Path) -> None:
    """None ends the fuzz; the seed is enough to find the file again."""
    corpus = Corpus(None)
    first = next(seed for seed in count() if corpus.case(seed + len(FAILURES) - 1)[1].shown)
    ended = fuzzed("-c", SCRIPT, "--seed", str(first), "--files", str(len(FAILURES)), folder=tmp_path)
    assert ended.returncode == 1 and not ended.stderr, ended.stdout + ended.stderr
    assert f"\n{len(FAILURES)} files: " in ended.stdout
    saved = {int(path.name.split("-")[0]): path for path in tmp_path.iterdir()}
    for seed, failure in enumerate(FAILURES, first):
        assert re.search(f"^seed {seed}, .*{re.escape(failure)}", ended.stdout, re.MULTILINE), ended.stdout
        assert saved[seed].read_bytes() == corpus.case(seed)[1].content


def test_the_whole_files_are_of_every_codec_and_scored() -> None:
    files = built()
    assert {whole.codec for whole in files} == CODECS
    assert len({whole.name for whole in files}) == len(files)
    assert all(Corpus.picture(whole) and whole.holding(whole.stream) == whole.content for whole in files)
