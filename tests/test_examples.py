"""What cached examples hold, and of which stretches of a recording they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from draws import PROMPTED
from loudness import FILES, LoudnessFrontend, cache_of, file_of, numbers
from pyannote.core import Segment, Timeline
from pyannote.database import ProtocolFile
from torch import Tensor
from toy import annotation

from pyannote_pix2seq.audio.recording import excerpt, prepare
from pyannote_pix2seq.audio.samples import AudioError
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.training.examples import CacheError
from pyannote_pix2seq.training.window_options import WindowOptions
from pyannote_pix2seq.training.windows import WindowSampler
from pyannote_pix2seq.vocabulary import Triplet


def test_examples_hold_tokens_and_turns(tmp_path: Path) -> None:
    cache = cache_of(tmp_path / "new" / "folder")
    cache.fill(FILES)
    assert len(cache) == 2
    first, second = cache[0], cache[1]
    assert (first.uri, second.uri) == ("first@0.00", "b/second@0.00")
    assert numbers(first.audio) == list(range(60)) and first.audio.voice.shape == (60, 1, 2)
    assert first.audio.content.dtype == torch.float16
    assert first.turns == [Triplet(1.0, 3.0, 0), Triplet(2.0, 5.0, 1), Triplet(6.0, 9.0, 0)]
    assert second.turns == [Triplet(0.0, 6.0, 0)]
    assert (first.names, second.names) == (("first ann", "first bob"), ("b/second cleo",))


def test_speakers_of_other_files_have_other_names_unless_labels_are_known_beyond_a_file(tmp_path: Path) -> None:
    files = [file_of(uri, 3.2, (0.0, 3.0, "ann"), scope="database") for uri in ("a/b", "a_b", "a%2Fb", "会議" * 30)]
    cache = cache_of(tmp_path)
    cache.fill(files)
    assert [cache[k].uri for k in range(3)] == ["a/b@0.00", "a_b@0.00", "a%2Fb@0.00"]
    assert {cache[k].names for k in range(4)} == {("ann",)}


def test_databases_may_share_uris_and_labels(tmp_path: Path) -> None:
    files = [
        file_of("talk", 3.2 * number, (0.0, 3.0, "ann"), database=database, scope=scope)
        for number, (database, scope) in enumerate(
            [("A", "database"), ("B", "database"), ("A/B", "file"), ("C", "global")], 1
        )
    ]
    cache = cache_of(tmp_path, duration=100)
    cache.fill(files)
    assert [(cache[k].uri, len(cache[k].audio.content)) for k in range(4)] == [
        ("talk@0.00", 20 * number) for number in (1, 2, 3, 4)
    ]
    assert [cache[k].names for k in range(4)] == [("A ann",), ("B ann",), ("A/B talk ann",), ("ann",)]
    assert len(cache_of(tmp_path, duration=100)) == 4
    with pytest.raises(CacheError, match=r"Several recordings are called talk\. List each recording once"):
        cache.fill([files[0], files[0] | {"waveform": files[1]["waveform"]}])
    overlapping = files[0] | {"annotated": Timeline([Segment(0, 1.6), Segment(0, 3.2)])}
    cache.fill([overlapping])
    assert [len(cache[k].audio.content) for k in range(len(cache))] == [20]


def test_recordings_without_a_uem_are_annotated_as_a_whole(tmp_path: Path) -> None:
    lost = file_of("lost", 3.2, waveform=None, audio=str(tmp_path / "lost.wav"), annotated=None)
    cache = cache_of(tmp_path, duration=6.4)
    with pytest.warns(UserWarning, match="lost is left out: .*lost.wav"):
        cache.fill([FILES[0] | {"annotated": None}, lost])
    assert [cache[k].uri for k in range(len(cache))] == ["first@0.00", "first@6.40"]


def test_only_the_stretch_is_read_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (60 * 8000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "long.flac", noise, 8000)
    decoded: list[int] = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, frames=-1, **o: decoded.append(frames) or read(self, frames, **o)
    )
    described = {"uri": "long", "audio": tmp_path / "long.flac", "annotation": annotation((0.0, 60.0, "ann"))}
    file = ProtocolFile(described, lazy={"features": lambda _: 1 / 0})  # which nobody asks for
    cache = cache_of(tmp_path / "cache")
    found = [cache.read(file, part).waveform for part in (Segment(0, 8.3), Segment(8.3, 20), Segment(20, 60))]
    assert max(decoded) <= 42 * 8000
    monkeypatch.undo()
    assert torch.allclose(torch.cat(found, dim=1), prepare(tmp_path / "long.flac"), atol=1e-5)
    one = {"audio": tmp_path / "long.flac", "channel": 1}
    assert torch.allclose(excerpt(one, Segment(20, 60)), prepare(one)[:, 20 * 16000 :], atol=1e-5)
    for start in (60, 61):
        with pytest.raises(AudioError, match=rf"long lasts 60.000 s, and nothing of it is left from {start}.000 s on"):
            excerpt(one, Segment(start, 70))
    noise[45 * 8000] = np.nan
    soundfile.write(tmp_path / "broken.wav", noise, 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"2 of the .* samples of broken .* the first at 45\.000 s"):
        excerpt(tmp_path / "broken.wav", Segment(30, 60))
    noise[45 * 8000, 1] = 0
    soundfile.write(tmp_path / "half.wav", noise, 8000, subtype="FLOAT")
    assert excerpt({"audio": tmp_path / "half.wav", "channel": 1}, Segment(30, 60)).isfinite().all()


def test_a_device_hears_several_stretches_at_once(tmp_path: Path) -> None:
    heard: list[tuple[int, ...]] = []

    class Attentive(LoudnessFrontend):
        def forward(self, waveforms: Tensor) -> AudioTokens:
            heard.append(tuple(waveforms.shape))
            return super().forward(waveforms)

    files = [FILES[0], FILES[1], file_of("third", 9.6, (0.0, 1.0, "dan"), waveform=FILES[0]["waveform"].flip(-1))]
    cache = cache_of(tmp_path / "device", Attentive())
    cache.fill(files, device=torch.device("cpu"))
    assert sorted(heard) == [(1, 1, 102400), (2, 1, 153600)]
    one_by_one = cache_of(tmp_path / "workers")
    one_by_one.fill(files)
    assert [cache[k].uri for k in range(len(cache))] == ["first@0.00", "b/second@0.00", "third@0.00"]
    for k in range(3):
        assert numbers(cache[k].audio) == numbers(one_by_one[k].audio)
        assert (cache[k].uri, cache[k].turns) == (one_by_one[k].uri, one_by_one[k].turns)
    assert numbers(cache[2].audio) == list(range(59, -1, -1))


def test_a_stretch_does_not_take_its_recording_along(tmp_path: Path) -> None:
    read = cache_of(tmp_path).read(FILES[0], Segment(1.6, 3.2))
    assert read.waveform.shape == (1, 25600) and read.waveform.untyped_storage().nbytes() == 4 * 25600
    assert [tuple(round(number, 6) for number in turn) for turn in read.reference.turns] == [
        (0.0, 1.4, 0),
        (0.4, 1.6, 1),
    ]


def test_long_recordings_are_cut_into_stretches_of_annotated_audio(tmp_path: Path) -> None:
    annotated = Timeline([Segment(0.64, 4.64), Segment(6.4, 9.6)])
    cache = cache_of(tmp_path, duration=3.2)
    cache.fill([FILES[0] | {"annotated": annotated}])
    # 0.64 to 3.84, 3.84 to 4.64, 6.4 to 9.6
    assert [numbers(cache[k].audio) for k in range(3)] == [
        list(range(4, 24)), list(range(24, 29)), list(range(40, 60)),
    ]  # fmt: skip
    assert [cache[k].uri for k in range(3)] == ["first@0.64", "first@3.84", "first@6.40"]
    turns = [[tuple(round(number, 6) for number in turn) for turn in cache[k].turns] for k in range(3)]
    assert turns == [[(0.36, 2.36, 0), (1.36, 3.2, 1)], [(0.0, 0.8, 0)], [(0.0, 2.6, 0)]]


def test_the_rest_of_a_recording_is_a_stretch_if_it_is_long_enough(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, duration=3.2)
    cache.fill([FILES[0] | {"annotated": Timeline([Segment(0, 3.7), Segment(6.4, 7.04), Segment(8, 8.4)])}])
    assert [cache[k].uri for k in range(len(cache))] == ["first@0.00", "first@3.20", "first@6.40"]  # 3.2, 0.5, 0.64 s


def test_turns_end_with_the_audio_even_if_the_annotation_goes_on(tmp_path: Path) -> None:
    longer = FILES[0] | {
        "annotation": annotation((1.0, 3.0, "ann"), (2.0, 12.0, "bob"), (9.6, 11.0, "ann"), (11.0, 20.0, "cleo")),
        "annotated": Timeline([Segment(0, 20)]),
    }
    frontend = LoudnessFrontend()
    for _ in range(2):  # what is stored is still the reference, so that nothing is computed again
        cache = cache_of(tmp_path, frontend)
        cache.fill([longer])
        assert cache[0].turns == [Triplet(1.0, 3.0, 0), Triplet(2.0, 9.6, 1)]
    assert frontend.calls == 1 and cache[0].names == ("first ann", "first bob", "first cleo")
    sampler = WindowSampler(frontend, WindowOptions(chunk=4.8, **PROMPTED))
    for seed in range(50):
        clips = sampler._clips(cache[0], Segment(), np.random.default_rng(seed))
        assert 2 not in clips and all(len(clip.content) >= 5 for clip in clips.values())
