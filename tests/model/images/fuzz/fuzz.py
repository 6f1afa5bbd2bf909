"""Decode many damaged files: each is refused or gives a picture, in 2 s of CPU time, and prints nothing.

A plain loop with a seed for each file, not atheris: that follows the coverage of Python code, but the decoders are
compiled libraries, and it ends at the first crash.

    python -m tests.model.images.fuzz --files 200000 --seed 1 [--processes 2]

Real films are damaged too if PNEUMO_DATA names their folder. A file that fails is saved with its seed in its name.
"""

import argparse
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from model.images.decode import decode
from model.images.limits import Refused
from tests.model.images.fuzz import corpus, decoding
from tests.model.images.fuzz.corpus import Whole
from tests.model.images.fuzz.damage import Twin, damaged

_BATCH = 5000  # files that one process decodes
_BLOCKED_S = 1800  # of wall time without an outcome, though no CPU time is used
_REAL = 0.1  # of the files are real ones, where there are any
_CONTEXT = get_context("fork")  # the whole files and the libraries are loaded once


class Corpus:
    """The whole files, and the picture of each; None if it is refused, as some real ones are."""

    def __init__(self, data: Path | None) -> None:
        self.built, self.real = corpus.built(), corpus.real(data) if data else []
        self._pictures = {whole.name: self.picture(whole) for whole in self.built + self.real}

    @staticmethod
    def picture(whole: Whole) -> bytes | None:
        """The grey values of a whole file, None if it is refused."""
        try:
            return decode(whole.content).grey.tobytes()
        except Refused:
            return None

    def case(self, seed: int) -> tuple[Whole, Twin, bytes]:
        """The whole file, its twin and its picture, always the same ones for a seed."""
        rng = random.Random(seed)
        whole = rng.choice(self.real if self.real and rng.random() < _REAL else self.built)
        picture = self._pictures[whole.name]
        return whole, damaged(whole, rng, is_scored=picture is not None), picture or b""

    def cases(self, seeds: range) -> Iterator[tuple[Whole, Twin, bytes]]:
        yield from map(self.case, seeds)


@dataclass
class Batch:
    """The seeds that one process decodes; `at` is the one in work, `is_asking` whether it is GDCM's turn."""

    seeds: range
    process: BaseProcess
    at: int
    is_asking: bool = False


@dataclass
class Report:
    """What became of the files. `kinds`: files by their damage."""

    results: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    other_pictures: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, 0)
    unasked: int = 0

    def add(self, seed: int, outcome: decoding.Outcome) -> None:
        self.results[outcome.result] += 1
        self.kinds[outcome.kind] += 1
        if outcome.result == "scored" and not outcome.is_same:
            self.other_pictures[outcome.kind] += 1
        self.slowest = max(self.slowest, (outcome.cpu_s, seed))
        if outcome.failure:
            self.failures[seed] = outcome.failure

    def text(self) -> str:
        """Several lines for people."""
        codes = {code: count for code, count in self.results.most_common() if code not in ("scored", "undecoded")}
        return "\n".join(
            [
                f"{self.results.total()} files: {self.results['scored']} scored, {sum(codes.values())} refused, "
                f"{self.results['undecoded']} undecoded",
                *(f"  refused {code}: {count}" for code, count in codes.items()),
                "scored with another picture, though no decoder sees the damage, of the files with each:",
                *(f"  {kind}: {count} of {self.kinds[kind]}" for kind, count in sorted(self.other_pictures.items())),
                f"slowest: {self.slowest[0]:.2f} s of CPU time, seed {self.slowest[1]}",
                *[f"GDCM ended with its process: {self.unasked} times"] * bool(self.unasked),
                f"failures: {len(self.failures)}",
            ]
        )


class Fuzz:
    """Decodes the files of many seeds in processes of their own, so that a crash names its file."""

    def __init__(self, files: Corpus, folder: Path) -> None:
        self.files, self.folder, self.report = files, folder, Report()

    def run(self, seeds: range, processes: int = 1) -> Report:
        waiting = [seeds[at : at + _BATCH] for at in range(0, len(seeds), _BATCH)][::-1]
        running: dict[Any, Batch] = {}
        while waiting or running:
            while waiting and len(running) < processes:
                outcomes, batch = self._start(waiting.pop())
                running[outcomes] = batch
            ready = connection.wait(list(running), _BLOCKED_S)
            for outcomes in ready or list(running):
                batch = running[outcomes]
                if not ready:
                    batch.process.kill()
                if not self._take(outcomes, batch):
                    del running[outcomes]
                    waiting += [rest for rest in [self._after(batch)] if rest]
        return self.report

    def _start(self, seeds: range) -> tuple[Any, Batch]:
        ours, theirs = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=decoding.run, args=(self.files.cases(seeds), theirs), daemon=True)
        process.start()
        theirs.close()
        return ours, Batch(seeds, process, seeds.start)

    def _take(self, outcomes: Any, batch: Batch) -> bool:
        """Receive one outcome; False if there are no more."""
        try:
            outcome = outcomes.recv()
        except EOFError:
            return False
        batch.is_asking = outcome == decoding.ASKING
        if not batch.is_asking:
            self._count(batch.at, outcome)
            batch.at += 1
        return True

    def _after(self, batch: Batch) -> range:
        """The seeds after the one at which the process ended; none if it has done them all."""
        batch.process.join()
        code = batch.process.exitcode
        if batch.at == batch.seeds.stop:
            return range(0)
        if batch.is_asking:
            self.report.unasked += 1
            self._count(batch.at, decoding.Outcome("scored", is_same=True))
        else:
            name = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
            reason = f"used {decoding.LIMIT_S} s of CPU time" if name == "SIGPROF" else f"ended its process: {name}"
            self._count(batch.at, decoding.Outcome("undecoded", failure=reason))
        return range(batch.at + 1, batch.seeds.stop)

    def _count(self, seed: int, outcome: decoding.Outcome) -> None:
        self.report.add(seed, outcome)
        if outcome.failure:
            self._save(seed, outcome.failure)
        if self.report.results.total() % 10_000 == 0:
            print(f"{self.report.results.total()} files, {len(self.report.failures)} failures", flush=True)

    def _save(self, seed: int, failure: str) -> None:
        whole, twin, _ = self.files.case(seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{seed}-{re.sub('[^A-Za-z0-9]+', '-', f'{whole.name} {twin.kind}')}"
        path.write_bytes(twin.content)
        print(f"seed {seed}, {whole.name}, {twin.kind}: {failure}\n  {path}", flush=True)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model.images.fuzz")
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first file; each next one has the next")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--failures", type=Path, default=Path("build/fuzz"), help="folder for the files that fail")
    wanted = parser.parse_args(words)
    root = os.environ.get("PNEUMO_DATA")
    start, files = time.monotonic(), Corpus(Path(root) if root else None)
    print(f"{len(files.built)} whole files, {len(files.real)} real ones; first seed {wanted.seed}", flush=True)
    report = Fuzz(files, wanted.failures).run(range(wanted.seed, wanted.seed + wanted.files), wanted.processes)
    print(f"{report.text()}\n{time.monotonic() - start:.0f} s", flush=True)
    return 1 if report.failures else 0
