from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyannote.audio
import pytest
import soundfile
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread
from pyannote.core import Annotation
from pyannote.database.util import load_rttm
from toy import annotation

import pyannote_pix2seq
from pyannote_pix2seq import report
from pyannote_pix2seq.audio.recording import name_of
from pyannote_pix2seq.palette import COLOURS
from pyannote_pix2seq.report import clock, draw_time, draw_waveform, pair_speakers, peaks, timeline, turns_table

SAMPLE = Path(pyannote.audio.__file__).parent / "sample"


REFERENCE = annotation((0, 6, "ann"), (6, 10, "bob"), uri="talk")
# 1 s of false alarm, 2 s missed, 3 s of bob given to the voice that is mostly ann
HYPOTHESIS = annotation((2, 9, "x"), (9, 11, "y"), uri="talk")


def has_colour(path: Path, colour: str) -> bool:
    pixels = (imread(path)[..., :3] * 255).round().astype(int)
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((pixels == rgb).all(axis=-1).any())


def height(path: Path) -> int:
    return int(imread(path).shape[0])


# pairs


def test_speakers_are_paired_as_the_error_rate_does():
    assert pair_speakers(HYPOTHESIS, REFERENCE) == [("x", "ann"), ("y", "bob")]
    swapped = annotation((0, 6, "bob"), (6, 10, "ann"))
    assert pair_speakers(swapped, REFERENCE) == [("bob", "ann"), ("ann", "bob")]


def test_speakers_without_a_partner_come_with_none():
    one, three = annotation((7, 10, "x")), annotation((0, 6, "x"), (6, 9, "y"), (9, 10, "z"))
    assert pair_speakers(one, REFERENCE) == [("x", "bob"), (None, "ann")]
    assert pair_speakers(three, REFERENCE) == [("x", "ann"), ("y", "bob"), ("z", None)]
    assert pair_speakers(three, None) == [("x", None), ("y", None), ("z", None)]


# table


def test_turns_are_a_table_by_start_time():
    lines = turns_table(annotation((61.5, 64, "SPEAKER_01"), (0.25, 2, "SPEAKER_00")), [0.987, 0.5]).splitlines()
    assert [line.split() for line in lines] == [
        ["start", "end", "duration", "speaker", "confidence"],
        ["0:00.25", "0:02.00", "1.75", "SPEAKER_00", "0.99"],
        ["1:01.50", "1:04.00", "2.50", "SPEAKER_01", "0.50"],
    ]
    assert len({line.index(line.split()[3]) for line in lines}) == 1  # speakers stand under each other


def test_a_table_needs_a_confidence_for_each_turn():
    with pytest.raises(ValueError, match="talk has 2 turns, but 3 confidences were given"):
        turns_table(REFERENCE, [0.1, 0.2, 0.3])


def test_table_of_silence():
    assert turns_table(Annotation(), []).splitlines()[1].strip() == "nobody speaks"


@pytest.mark.parametrize(
    "seconds, decimals, text",
    [
        (0, 0, "0:00"),
        (65, 0, "1:05"),
        (59.999, 2, "1:00.00"),
        (3600, 0, "1:00:00"),
        (3725.04, 1, "1:02:05.0"),
    ],
)
def test_clock(seconds, decimals, text):
    assert clock(seconds, decimals) == text


# picture


def test_one_colour_for_each_speaker_and_its_partner(tmp_path):
    timeline(HYPOTHESIS, tmp_path / "alone.png")
    timeline(HYPOTHESIS, tmp_path / "paired.png", reference=REFERENCE)
    timeline(annotation((7, 10, "x")), tmp_path / "other.png", reference=annotation((0, 6, "ann")))
    for name in ("alone", "paired"):
        found = [has_colour(tmp_path / f"{name}.png", colour) for colour in COLOURS[:3]]
        assert found == [True, True, False]
    assert has_colour(tmp_path / "other.png", COLOURS[1])  # the reference's ann is nobody's partner
    assert height(tmp_path / "paired.png") > height(tmp_path / "alone.png")


def test_the_picture_shows_the_waveform(tmp_path):
    timeline(HYPOTHESIS, tmp_path / "a.png", audio=[torch.ones(1, 100_000), torch.ones(1, 60_000)])
    assert has_colour(tmp_path / "a.png", "#b9c0c9")
    timeline(HYPOTHESIS, tmp_path / "b.png")
    assert not has_colour(tmp_path / "b.png", "#b9c0c9")


def test_the_waveform_goes_up_and_down_until_the_end_of_the_recording(tmp_path, monkeypatch):
    axes = Figure().subplots()
    draw_waveform(axes, np.array([0.5, 1.0, 0.25]))
    assert axes.collections[0].get_datalim(axes.transData).extents == pytest.approx([0, -1, 0.02, 1])
    shown = []
    monkeypatch.setattr(report, "draw_time", lambda panels, duration: shown.append(duration))
    for seconds in (0, 10.5, 12):  # the last turn ends at 11 s
        timeline(HYPOTHESIS, tmp_path / "a.png", audio=[torch.ones(1, round(seconds * 16000))])
    assert shown == [11, 11, 12]


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(1.2, ["0:00.0", "0:00.1", "0:00.2"]), (30, ["0:00", "0:02", "0:04"]), (4 * 3600, ["0:00", "15:00", "30:00"])],
)
def test_the_time_axis_has_a_few_round_times(duration, expected):
    axes = Figure().subplots()
    draw_time([axes], duration)
    ticks = [tick for tick in axes.get_xticks() if 0 <= tick <= duration]
    assert axes.xaxis.get_major_formatter().format_ticks(ticks)[:3] == expected and len(ticks) <= 17


def test_peaks_do_not_depend_on_blocks() -> None:
    samples = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    expected = [samples[:, start : start + 160].abs().max().item() for start in range(0, 1000, 160)]
    for size in (1, 7, 160, 999, 1000):
        np.testing.assert_allclose(peaks(samples.split(size, dim=1)), expected)
    assert peaks([torch.zeros(1, 0)]).shape == peaks([]).shape == (0,)
    with torch.device("meta"):  # the default of the caller
        np.testing.assert_allclose(peaks([samples]), expected)


@pytest.mark.filterwarnings("error")
def test_pictures_of_odd_conversations(tmp_path):
    many = annotation(*[(400.0 * i, 400.0 * i + 1, f"guest {i}") for i in range(12)], uri="cost_$5_vs_$6_{")
    timeline(many, tmp_path / "many.png", reference=Annotation())
    timeline(annotation((0.001, 0.01, 7)), tmp_path / "short.png")
    timeline(Annotation(), tmp_path / "nothing.png")  # of no duration
    timeline(Annotation(), tmp_path / "silent.png", reference=many)
    assert height(tmp_path / "many.png") > height(tmp_path / "short.png")
    assert has_colour(tmp_path / "silent.png", COLOURS[9])


def test_the_legend_names_speakers_and_partners_whatever_they_are_called(monkeypatch, tmp_path):
    legends = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: legends.append(figure.legends[0].get_texts()))
    timeline(annotation((0, 1, 0), (1, 2, 1)), tmp_path / "a.png")
    timeline(annotation((0, 2, 0), (2, 3, 1)), tmp_path / "b.png", reference=annotation((0, 1, 0), (5, 6, "ann")))
    assert [[text.get_text() for text in legend] for legend in legends] == [
        ["0", "1"], ["0 = 0", "1 (nobody in the reference)", "ann (not found)"],
    ]  # fmt: skip


def test_drawing_leaves_the_backend_of_the_caller_alone(tmp_path):
    import matplotlib.pyplot as plt

    before = plt.get_backend()
    timeline(HYPOTHESIS, tmp_path / "a.png")
    assert plt.get_backend() == before and plt.get_fignums() == []


# recipes/demo.py


@pytest.fixture
def demo(load_recipe, monkeypatch):
    """The demo, with a pipeline that answers everything with the sample's own reference."""

    def diarize(audio):
        hypothesis = load_rttm(SAMPLE / "sample.rttm")["sample"]
        hypothesis.uri = name_of({"audio": audio})
        return SimpleNamespace(speaker_diarization=hypothesis, confidence=[0.5] * len(hypothesis))

    monkeypatch.setattr(pyannote_pix2seq, "PRETRAINED", "nowhere", raising=False)
    monkeypatch.setattr(pyannote.audio.Pipeline, "from_pretrained", lambda folder: diarize)
    return load_recipe("demo.py").main


def test_demo_scores_the_sample_beside_the_one_speaker_baseline(demo, tmp_path, capsys):
    demo(["--into", str(tmp_path)])
    printed = capsys.readouterr().out
    reference = load_rttm(SAMPLE / "sample.rttm")["sample"]
    assert turns_table(reference, [0.5] * len(reference)) in printed
    assert "this pipeline: DER 0.0 %" in printed
    # One speaker is right about whoever is heard longest, and wrong or silent about everybody else.
    spoken = sum(turn.duration for turn in reference.itersegments())
    baseline = 100 * (1 - max(reference.label_duration(speaker) for speaker in reference.labels()) / spoken)
    assert f"everyone as one speaker: DER {baseline:.1f} % (false alarm 0.0" in printed
    assert load_rttm(tmp_path / "sample.rttm")["sample"].labels() == ["speaker90", "speaker91"]
    assert has_colour(tmp_path / "sample.png", COLOURS[1])


def test_demo_takes_a_file_of_yours(demo, tmp_path, capsys):
    soundfile.write(tmp_path / "my talk.flac", np.zeros(16000), 16000)
    demo([str(tmp_path / "my talk.flac"), "--into", str(tmp_path / "out" / "here")])
    assert "DER" not in capsys.readouterr().out
    assert list(load_rttm(tmp_path / "out" / "here" / "my_talk.rttm")) == ["my_talk"]
    assert (tmp_path / "out" / "here" / "my_talk.png").exists()


def test_demo_writes_rttm_in_utf_8_whatever_the_locale(demo, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "Gespräch.flac", np.zeros(16000), 16000)
    write = Path.write_text
    monkeypatch.setattr(Path, "write_text", lambda path, text, encoding="ascii": write(path, text, encoding))
    demo([str(tmp_path / "Gespräch.flac"), "--into", str(tmp_path)])
    assert list(load_rttm(tmp_path / "Gespräch.rttm")) == ["Gespräch"]


def test_demo_says_what_is_wrong_with_a_file(demo, tmp_path):
    with pytest.raises(SystemExit, match="There is no file"):
        demo([str(tmp_path / "nothing.mp3")])
