"""What is written and drawn of an evaluation."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from pyannote.core import Segment, Timeline
from talks import LOUD, QUIET, file
from toy import annotation

from pyannote_pix2seq.evaluation.comparison import NEVER_TWO, Evaluation, SystemScores, evaluate
from pyannote_pix2seq.evaluation.measures import MEASURES, intervals, measure
from pyannote_pix2seq.evaluation.scoreboard import draw, markdown, write_csv
from pyannote_pix2seq.evaluation.scores import score
from pyannote_pix2seq.evaluation.system import System


def test_the_table_holds_totals_differences_and_every_recording(evaluation: Evaluation) -> None:
    text = markdown(evaluation)
    assert "Total of 2 recordings" in text
    row = next(line for line in text.splitlines() if line.startswith("| sure |"))
    der = measure(evaluation.results[0].scores)["der"]
    assert f"| {der:.1f} (" in row and row.count("|") == 13
    with_interval = [cell for cell in row.split(" | ") if " to " in cell]
    assert len(with_interval) == 6 and with_interval[2] == "0.00 (0.00 to 0.00)"  # number of speakers: mean error
    assert "- sure minus mute: +0.0 (+0.0 to +0.0)" in text
    assert f"| {LOUD} | 11.1 (0.0 / 11.1 / 0.0); 2 / 2 |" in text


def test_the_csv_holds_the_same_numbers(evaluation: Evaluation, tmp_path: Path) -> None:
    write_csv([evaluation], tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert set(MEASURES) < set(rows[0])
    mine = [row for row in rows if row["system"] == "sure"]
    assert [row["row"] for row in mine] == ["file", "file", "total", "low", "high"]
    memory = evaluation.results[0].memory
    assert [row["peak_memory"] for row in mine] == [*map(str, memory), str(max(memory)), "", ""]
    totals = measure(evaluation.results[0].scores)
    assert {name: float(mine[2][name]) for name in MEASURES} == pytest.approx(totals, abs=1e-4)
    assert float(mine[3]["der"]) <= totals["der"] <= float(mine[4]["der"])
    assert next(row for row in rows if row["system"] == NEVER_TWO and row["row"] == "total")["speed"] == ""
    assert {row["peak_memory"] for row in rows if row["system"] == NEVER_TWO} == {""}


def test_memory_that_a_peer_does_not_tell_is_empty(tmp_path: Path) -> None:
    (tmp_path / "mute.py").write_text(
        "import json, sys\n"
        "with open(sys.argv[2], 'w') as file:\n"
        "    for each in json.load(open(sys.argv[1])):\n"
        "        print(json.dumps({'uri': each['uri'], 'turns': [[0, 1, 'a']], 'seconds': 0.1}), file=file)\n"
    )
    mute = System.of_peer(f"mute={tmp_path}/mute.py")
    write_csv([evaluate("Toy", [file(LOUD), file(QUIET, 3.0)], [mute])], tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as lines:
        assert {row["peak_memory"] for row in csv.DictReader(lines)} == {""}


@pytest.mark.parametrize("number", [2, 40])
def test_the_picture_is_drawn(number: int, teller: Any, tmp_path: Path) -> None:
    files = [file(f"meeting {index}", 1 + index / 20) for index in range(number)]
    evaluation = evaluate("Toy $1$", files, [teller("system", confidence="[0.7, 0.2]")], threads=1)
    draw([evaluation, evaluation], tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_shows_intervals_and_recordings_by_the_rate_of_the_first_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    truth, scored = annotation((0, 100, "ann")), Timeline([Segment(0, 100)])
    rates = [[37 * index % 40 for index in range(40)], list(range(40, 0, -1))]
    results = [
        SystemScores(name, [score(name, truth, annotation((0, 100 - rate, "x")), scored) for rate in missed])
        for name, missed in zip(("first", "second"), rates, strict=True)
    ]
    draw([Evaluation("Toy", results, [])], "nowhere.png")
    totals, recordings = figures[0].axes[:2]
    drawn = [points.get_offsets()[:, 1].tolist() for points in recordings.collections]
    by_first = sorted(range(40), key=lambda index: rates[0][index])
    assert drawn == [pytest.approx([missed[index] for index in by_first]) for missed in rates]
    (brackets,) = [each.lines[2][0].get_segments() for each in totals.containers if isinstance(each, ErrorbarContainer)]
    ends = [segment[:, 0].tolist() for segment in brackets]
    assert ends == [pytest.approx(intervals(result.scores, ["der"])["der"]) for result in results]
