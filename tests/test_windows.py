"""Cached examples, and the windows that are drawn from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from language import follows_grammar
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database import ProtocolFile
from torch import Tensor
from toy import annotation

from pyannote_pix2seq.activity import rasterize
from pyannote_pix2seq.audio.recording import excerpt, prepare
from pyannote_pix2seq.audio.samples import AudioError
from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.frontends import AudioTokens, Frontend
from pyannote_pix2seq.frontends.mel import MelFrontend
from pyannote_pix2seq.prompts import solo_segments
from pyannote_pix2seq.training.examples import CacheError, Example, ExampleCache
from pyannote_pix2seq.training.window_options import WindowOptions
from pyannote_pix2seq.training.windows import Window, WindowSampler, collate, crop
from pyannote_pix2seq.vocabulary import EOS, FIRST_TIME, Triplet, Vocabulary, VocabularyError

TOKEN = 0.16
SAMPLES = 2560
VOCABULARY = Vocabulary(window=60.0, resolution=0.04, num_speakers=8)


class LoudnessFrontend(Frontend):
    """Frozen; content is the mean of each token's samples, there is one voice of one weight."""

    content_dim, num_voices, voice_dim, frozen = 1, 1, 2, True

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight), requires_grad=False)
        self.calls = 0

    def forward(self, waveforms: Tensor) -> AudioTokens:
        self.check(waveforms)
        self.calls += 1
        padding = -waveforms.shape[-1] % SAMPLES
        pieces = torch.nn.functional.pad(waveforms[:, 0], (0, padding)).view(len(waveforms), -1, SAMPLES)
        content = self.weight * pieces.mean(-1, keepdim=True)
        return AudioTokens(content, content.new_ones(*content.shape[:2], 1, 2))


def file_of(uri: str, seconds: float, *turns: tuple[float, float, str], **fields: Any) -> dict[str, Any]:
    """A recording whose token k is as loud as k / 256."""
    num_tokens = round(seconds / TOKEN)
    waveform = (torch.arange(num_tokens) / 256).repeat_interleave(SAMPLES)[None]
    return {
        "uri": uri,
        "annotation": annotation(*turns),
        "annotated": Timeline([Segment(0, seconds)]),
        "waveform": waveform,
        "sample_rate": 16000,
        **fields,
    }


def numbers(audio: AudioTokens) -> list[int]:
    return (256 * audio.content[:, 0].float()).round().int().tolist()


FILES = [
    file_of("first", 9.6, (1.0, 3.0, "ann"), (2.0, 5.0, "bob"), (6.0, 9.0, "ann")),
    file_of("b/second", 6.4, (0.0, 6.0, "cleo")),
]


def cache_of(
    folder: Path, frontend: Frontend | None = None, source: str = "toy", duration: float = 50.0
) -> ExampleCache:
    return ExampleCache(folder, frontend or LoudnessFrontend(), source, duration)


# the cache


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
    with pytest.raises(AudioError, match=r"long lasts 60.000 s, and nothing of it is left from 61.000 s on"):
        excerpt(one, Segment(61, 70))
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


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    frontend = LoudnessFrontend()
    cache_of(tmp_path, frontend).fill(FILES[:1])
    assert frontend.calls == 1
    again = cache_of(tmp_path, frontend)
    assert len(again) == 1
    again.fill(FILES)
    assert (frontend.calls, len(again)) == (2, 2)
    again.fill(FILES)
    assert frontend.calls == 2


def test_what_is_annotated_otherwise_now_is_computed_again(tmp_path: Path) -> None:
    frontend = LoudnessFrontend()
    cache_of(tmp_path, frontend, duration=3.2).fill(FILES)
    calls = frontend.calls
    mended = FILES[0] | {"annotation": annotation((1.0, 3.0, "ann"), (2.0, 5.0, "bob"), (6.0, 9.5, "ann"))}
    renamed = FILES[1] | {"annotation": annotation((0.0, 6.0, "dora"))}
    cache = cache_of(tmp_path, frontend, duration=3.2)
    cache.fill([mended, FILES[1]])
    assert frontend.calls == calls + 1  # of three stretches of the first file
    assert cache[2].turns[-1].end == pytest.approx(9.5 - 6.4)
    cache.fill([mended, renamed])
    assert frontend.calls == calls + 3 and cache[3].names == ("b/second dora",)


def test_what_cannot_be_heard_again_is_no_example_any_more(tmp_path: Path) -> None:
    cache_of(tmp_path).fill(FILES)
    for lost in (
        {"annotation": annotation((1.0, 3.0, "zoe")), "waveform": None, "audio": str(tmp_path / "missing.wav")},
        {"annotation": None},
    ):
        cache = cache_of(tmp_path)
        with pytest.warns(UserWarning, match="^first is left out: "):
            cache.fill([FILES[0] | lost, FILES[1]])
        assert [example.uri for example in cache] == ["b/second@0.00"]  # type: ignore[attr-defined]


def test_a_region_that_is_longer_now_is_heard_again(tmp_path: Path) -> None:
    regions = [Timeline([Segment(0, 1.6)]), Timeline([Segment(0, 3.2)])]  # with the same turns
    lengths = []
    for annotated in regions:
        cache = cache_of(tmp_path)
        cache.fill([file_of("first", 9.6, (0.5, 1.0, "ann"), annotated=annotated)])
        lengths.append(len(cache[0].audio.content))
    assert lengths == [10, 20]


@pytest.mark.parametrize("damage", [b"", b"garbage", b"PK\x03\x04 and no more", None])
def test_damaged_examples_are_computed_again(tmp_path: Path, damage: bytes | None) -> None:
    cache = cache_of(tmp_path)
    cache.fill(FILES[:1])
    whole = cache.paths[0].read_bytes()
    cache.paths[0].write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    cache.fill(FILES[:1])
    assert numbers(cache[0].audio) == list(range(60))


def test_files_without_an_annotation_or_annotated_region_are_passed_over_with_a_warning(tmp_path: Path) -> None:
    nobody = file_of("nobody", 3.2, annotation=None)
    nothing = file_of("nothing", 3.2, annotated=Timeline())
    cache = cache_of(tmp_path)
    with pytest.warns(UserWarning) as warned:
        cache.fill([FILES[0], nobody, nothing])
    assert {str(warning.message) for warning in warned} == {
        "nothing is left out: no 0.5 s of it are annotated. Does its UEM have it?",
        "nobody is left out: it has no annotation. Does its RTTM have it?",
    }
    assert [example.uri for example in cache] == ["first@0.00"]  # type: ignore[attr-defined]


def test_what_was_interrupted_is_computed_again(tmp_path: Path) -> None:
    (tmp_path / ".first@0.00.npz.part").write_bytes(b"half a file")
    cache = cache_of(tmp_path)
    assert len(cache) == 0
    cache.fill(FILES)
    assert [numbers(cache[k].audio)[-1] for k in range(2)] == [59, 39]


def test_the_cache_holds_what_was_asked_for_and_no_more(tmp_path: Path) -> None:
    cache_of(tmp_path).fill(FILES)
    cache = cache_of(tmp_path)
    cache.fill(FILES[1:])
    assert len(cache) == 1 and cache[0].uri == "b/second@0.00"


def unlabelled(file: ProtocolFile) -> Annotation:
    raise ValueError("no labels here")


@pytest.mark.parametrize("device", [None, torch.device("cpu")])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_broken_file_is_passed_over_with_a_warning(
    tmp_path: Path, num_workers: int, device: torch.device | None
) -> None:
    noise = torch.full((1, 16000), torch.nan)
    broken = [
        file_of("missing", 3.2, waveform=None, audio=str(tmp_path / "missing.wav")),
        file_of("silent", 3.2, waveform=noise),
        ProtocolFile({**FILES[0], "uri": "unlabelled"}, lazy={"annotation": unlabelled}),
    ]
    cache = cache_of(tmp_path)
    files = [broken[0], FILES[0], broken[1], broken[2], FILES[1]]
    with pytest.warns(UserWarning) as caught:
        cache.fill(files, num_workers=num_workers, device=device)
    messages = [str(warning.message) for warning in caught if "left out" in str(warning.message)]
    assert len(messages) == 3
    assert messages[0].startswith("missing is left out: There is no file")
    assert messages[1].startswith("silent is left out: 16000 of the 16000 samples")
    assert messages[2] == "unlabelled is left out: no labels here"
    assert [cache[k].uri for k in range(len(cache))] == ["first@0.00", "b/second@0.00"]
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_waveforms_are_forgotten_once_they_were_heard(tmp_path: Path) -> None:
    waveform = FILES[0]["waveform"]
    described = {key: value for key, value in FILES[0].items() if key != "waveform"}
    file = ProtocolFile(described, lazy={"waveform": lambda _: waveform})
    cache_of(tmp_path).fill([file])
    assert "waveform" in file.lazy and "waveform" not in abs(file)
    assert numbers(cache_of(tmp_path)[0].audio) == list(range(60))


def test_a_cache_of_nothing_is_an_error(tmp_path: Path) -> None:
    broken = file_of("missing", 3.2, waveform=None, audio=str(tmp_path / "missing.wav"))
    with pytest.raises(CacheError, match="none of 1 stretches of audio gave an example"):
        cache_of(tmp_path).fill([broken])


def test_a_cache_made_from_something_else_is_refused(tmp_path: Path) -> None:
    cache_of(tmp_path)
    cache_of(tmp_path, LoudnessFrontend())
    for other in (
        {"source": "other"},
        {"duration": 30.0},
        {"frontend": LoudnessFrontend(weight=2.0)},
        {"frontend": MelFrontend()},
    ):
        with pytest.raises(
            CacheError, match="was made from something else: .* was .* and is .*another folder or delete it"
        ):
            cache_of(tmp_path, **other)  # type: ignore[arg-type]


def test_weights_that_are_trained_do_not_matter_for_what_is_kept(tmp_path: Path) -> None:
    assert MelFrontend().fingerprint == MelFrontend().fingerprint
    newer = type("MelFrontend", (MelFrontend,), {"version": 9})()
    assert newer.fingerprint != MelFrontend().fingerprint
    cache = cache_of(tmp_path, MelFrontend())
    cache.fill(FILES[:1])
    content = cache[0].audio.content
    assert content.shape == (60, SAMPLES) and content[7].unique().tolist() == [7 / 256]
    assert cache[0].audio.voice.shape == (60, 0, 0)


# windows


def conversation(seed: int, seconds: float = 48.0, num_speakers: int = 4, first: int = 0) -> Example:
    """Random turns; the content of each token is its number plus `first`."""
    rng = np.random.default_rng(seed)
    turns, position = [], 0.0
    while True:
        start = max(position + rng.normal(0.2, 1.0), 0.0)
        end = start + rng.exponential(3.0) + 0.2
        if end > seconds:
            break
        turns.append(Triplet(start, end, int(rng.integers(num_speakers))))
        position = end
    count = round(seconds / TOKEN)
    content = torch.arange(first, first + count, dtype=torch.float)[:, None]
    names = tuple(f"{seed} {number}" for number in range(num_speakers))
    return Example(f"example{seed}", AudioTokens(content, torch.ones(count, 1, 2)), sorted(turns), names)


EXAMPLES = [conversation(seed, first=1000 * seed + 1) for seed in range(6)]
UNPROMPTED: dict[str, Any] = {"prompted_probability": 0.0, "stranger_probability": 0.0}
PROMPTED: dict[str, Any] = {"prompted_probability": 1.0, "stranger_probability": 0.0}


def draw(seed: int, **options: Any) -> Window:
    sampler = WindowSampler(
        LoudnessFrontend(), WindowOptions(**{"compact_probability": 0.0, "shifted_probability": 0.0, **options})
    )
    return sampler.draw(EXAMPLES, np.random.default_rng(seed))  # type: ignore[arg-type]


def pieces(window: Window) -> list[list[int]]:
    """Runs of audio between the silences: prompts, then the chunk."""
    found: list[list[int]] = [[]]
    for number in window.audio.content[:, 0].int().tolist():
        if number:
            found[-1].append(number)
        elif found[-1]:
            found.append([])
    return found


def test_cropping_keeps_times_right() -> None:
    example = Example(
        "x",
        AudioTokens(torch.arange(100.0)[:, None], torch.zeros(100, 0, 0)),
        [Triplet(0.0, 5.0, 3), Triplet(4.0, 9.0, 1), Triplet(1.0, 1.61, 2), Triplet(8.0, 9.0, 2)],
        ("ann", "bob", "cleo", "dan"),
    )
    part = crop(example, Segment(1.6, 8.0), TOKEN)
    assert part.audio.content[:, 0].tolist() == list(range(10, 50))
    # of speaker 2, 10 ms are left: not worth writing
    assert part.turns == [
        pytest.approx((0.0, 3.4, 3)), pytest.approx((2.4, 6.4, 1)),
    ]  # fmt: skip


def test_turns_of_less_than_two_bins_are_dropped_cut_or_not() -> None:
    turns = [Triplet(1.0, 1.07, 0), Triplet(2.0, 2.09, 1), Triplet(3.13, 5.0, 2), Triplet(3.1, 5.0, 3)]
    part = crop(Example("x", EXAMPLES[0].audio, turns, ("ann", "bob", "cleo", "dan")), Segment(0, 3.2), TOKEN)
    assert part.turns == [pytest.approx((2.0, 2.09, 1)), pytest.approx((3.1, 3.2, 3))]


def test_chunks_without_prompts_lie_anywhere() -> None:
    firsts = set()
    for seed in range(60):
        window = draw(seed, chunk=16.0, shorter_probability=0.0, **UNPROMPTED)
        (chunk,) = pieces(window)
        assert window.num_prompts == 0 and len(chunk) == 100
        assert chunk == list(range(chunk[0], chunk[0] + 100))
        firsts.add(chunk[0] % 1000)
        place = Segment((chunk[0] - 1) % 1000 * TOKEN, ((chunk[0] - 1) % 1000 + 100) * TOKEN)
        assert window.turns == [
            Triplet(t.start, t.end, t.speaker) for t in _named(crop(EXAMPLES[chunk[0] // 1000], place, TOKEN).turns)
        ]
    assert min(firsts) < 40 and max(firsts) > 160 and len(firsts) > 40


def test_overlap_is_counted_once_for_each_turn_that_starts_before_another_ends() -> None:
    turns = [Triplet(0.0, 5.0, 0), Triplet(4.0, 7.0, 1), Triplet(4.5, 6.0, 2), Triplet(8.0, 9.0, 0)]
    assert Window(EXAMPLES[0].audio, turns, 0, 0).overlap == pytest.approx(1.0 + 1.5)
    around = [Triplet(0.0, 10.0, 0), Triplet(1.0, 2.0, 1), Triplet(4.0, 6.0, 2)]
    assert Window(EXAMPLES[0].audio, around, 0, 0).overlap == pytest.approx(1.0 + 2.0)
    assert Window(EXAMPLES[0].audio, [], 0, 0).overlap == 0


def test_dense_windows_have_more_overlap() -> None:
    def overlap(dense: float) -> float:
        return float(np.mean([draw(seed, dense_probability=dense, **UNPROMPTED).overlap for seed in range(100)]))

    random, mixed, dense = overlap(0.0), overlap(0.5), overlap(1.0)
    assert 1.1 * random < mixed < dense and dense > 1.3 * random


def _named(turns: list[Triplet]) -> list[Triplet]:
    names: dict[int, int] = {}
    return [Triplet(t.start, t.end, names.setdefault(t.speaker, len(names))) for t in turns]


def test_some_chunks_are_shorter() -> None:
    windows = [draw(seed, chunk=16.0, shorter_probability=0.5, **UNPROMPTED) for seed in range(100)]
    lengths = [len(window.audio.content) for window in windows]
    assert 30 <= sum(length < 100 for length in lengths) <= 70
    assert min(lengths) >= 17 and max(lengths) == 100


def test_prompts_come_from_elsewhere_in_the_same_example() -> None:
    num_prompts = []
    for seed in range(60):
        window = draw(seed, chunk=16.0, **PROMPTED)
        *prompts, chunk = pieces(window)
        num_prompts.append(len(prompts))
        assert window.num_prompts == len(prompts)
        assert window.start == len(window.audio.content) - len(chunk)
        example = EXAMPLES[chunk[0] // 1000]
        base = 1000 * (chunk[0] // 1000) + 1
        speakers = []
        for clip in prompts:
            assert 5 <= len(clip) <= 31 and not set(clip) & set(chunk)
            place = Segment((clip[0] - base) * TOKEN + 1e-3, (clip[-1] + 1 - base) * TOKEN - 1e-3)
            owners = [k for k in range(4) if any(place in solo for solo in solo_segments(example.turns, k))]
            assert len(owners) == 1
            speakers += owners
        assert len(set(speakers)) == len(speakers)
        # whoever is prompted keeps his letter in the chunk; newcomers come after
        start = (chunk[0] - base) * TOKEN
        names = {speaker: letter for letter, speaker in enumerate(speakers)}
        spoken = crop(example, Segment(start, start + len(chunk) * TOKEN), TOKEN).turns
        letters = [names.setdefault(turn.speaker, len(names)) for turn in spoken]
        assert [turn.speaker for turn in window.turns] == [*range(len(prompts)), *letters]
        offset = len(window.audio.content) - len(chunk)
        for turn, original in zip(window.turns[len(prompts) :], spoken, strict=True):
            assert (turn.start, turn.end) == pytest.approx(
                (original.start + offset * TOKEN, original.end + offset * TOKEN)
            )
    assert max(num_prompts) == 4 and np.mean(num_prompts) > 1.5


def test_strangers_are_prompts_of_other_examples() -> None:
    foreign = 0
    for seed in range(60):
        window = draw(seed, chunk=16.0, prompted_probability=0.5, stranger_probability=1.0)
        *prompts, chunk = pieces(window)
        others = [k for k, clip in enumerate(prompts) if clip[0] // 1000 != chunk[0] // 1000]
        assert len(others) <= 1
        foreign += len(others)
        for k in others:  # he never speaks in the chunk
            assert [turn.speaker for turn in window.turns].count(k) == 1
    assert foreign >= 30


def test_nobody_is_a_stranger_where_he_speaks() -> None:
    sampler = WindowSampler(
        LoudnessFrontend(), WindowOptions(prompted_probability=0.0, stranger_probability=1.0, compact_probability=0.0)
    )
    names = EXAMPLES[0].names
    same = [EXAMPLES[0], replace(EXAMPLES[1], names=names)]
    some = [EXAMPLES[0], replace(EXAMPLES[1], names=(*names[:3], "somebody else"))]
    windows = [[sampler.draw(those, np.random.default_rng(k)) for k in range(40)] for those in (same, some)]  # type: ignore[arg-type]
    assert not any(window.num_prompts for window in windows[0])
    assert any(window.num_prompts for window in windows[1])


def test_compact_prompts_are_the_mean_of_the_clips_that_they_stand_for() -> None:
    options: dict[str, Any] = {"chunk": 16.0, "prompted_probability": 1.0, "stranger_probability": 0.5}
    for seed in range(20):
        plain, compacted = draw(seed, **options), draw(seed, compact_probability=1.0, **options)
        *clips, chunk = pieces(plain)
        num_prompts = compacted.num_prompts
        assert num_prompts == len(clips)
        assert len(compacted.audio.content) == 3 * num_prompts + len(chunk)  # one token and 0.32 s of silence each
        assert compacted.start == 3 * num_prompts
        found = compacted.audio.content[: 3 * num_prompts : 3, 0].tolist()
        assert found == pytest.approx([float(np.mean(clip)) for clip in clips])
        for turn, number in zip(compacted.turns[:num_prompts], range(num_prompts), strict=True):
            assert turn == Triplet(3 * number * TOKEN, (3 * number + 1) * TOKEN, number)


def test_prompts_of_a_frontend_that_is_learned_are_never_compact(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, MelFrontend())
    cache.fill(FILES)
    sampler = WindowSampler(
        cache.frontend,
        WindowOptions(chunk=3.2, prompted_probability=1.0, stranger_probability=1.0, compact_probability=1.0),
    )
    windows = [sampler.draw(cache, np.random.default_rng(seed)) for seed in range(20)]
    prompts = [turn for window in windows for turn in window.turns[: window.num_prompts]]
    assert len(prompts) >= 20
    assert min(prompt.end - prompt.start for prompt in prompts) >= 0.8


def test_shifted_clips_may_be_of_others_but_are_not_of_the_chunk() -> None:
    mixed = 0
    for seed in range(60):
        *prompts, chunk = pieces(draw(seed, chunk=16.0, shifted_probability=1.0, **PROMPTED))
        example, base = EXAMPLES[chunk[0] // 1000], 1000 * (chunk[0] // 1000) + 1
        for clip in prompts:
            assert not set(clip) & set(chunk)
            place = Segment((clip[0] - base) * TOKEN + 1e-3, (clip[-1] + 1 - base) * TOKEN - 1e-3)
            mixed += not any(place in solo for k in range(4) for solo in solo_segments(example.turns, k))
    assert mixed >= 20


def test_windows_with_too_many_speakers_are_drawn_again() -> None:
    counts = [
        len({turn.speaker for turn in draw(seed, chunk=16.0, stranger_probability=0.3, max_speakers=2).turns})
        for seed in range(40)
    ]
    assert max(counts) == 2


def test_examples_with_too_many_speakers_only_are_an_error() -> None:
    crowd = [replace(EXAMPLES[0], turns=[Triplet(0.0, 48.0, k) for k in range(3)])]
    with pytest.raises(CacheError, match="1000 windows all had more than 2 speakers"):
        WindowSampler(LoudnessFrontend(), WindowOptions(max_speakers=2)).draw(crowd, np.random.default_rng(0))  # type: ignore[arg-type]


def test_turns_that_cannot_be_heard_are_not_to_be_written() -> None:
    class DeafFrontend(LoudnessFrontend):
        def speech(self, content: Tensor) -> Tensor:
            return (content[..., 0] > 100).float()  # deaf for the first hundred tokens, 16 s

    example = replace(EXAMPLES[0], turns=[Triplet(1, 15, 0), Triplet(14, 20, 1), Triplet(15, 16.4, 2)])
    sampler = WindowSampler(
        DeafFrontend(), WindowOptions(chunk=48.0, shorter_probability=0.0, min_audibility=0.5, **UNPROMPTED)
    )
    window = sampler.draw([example], np.random.default_rng(0))  # type: ignore[arg-type]
    assert [(turn.start, turn.end) for turn in window.turns] == [(14, 20)]
    assert len(sampler.beginning(example).turns) == 3  # what is scored is not filtered


def test_strangers_that_cannot_be_heard_are_no_prompts() -> None:
    class DeafFrontend(LoudnessFrontend):
        def speech(self, content: Tensor) -> Tensor:
            return (content[..., 0] < 2000).float()  # deaf for all of the third example

    sampler = WindowSampler(DeafFrontend(), WindowOptions(prompted_probability=0.0, stranger_probability=1.0))
    examples = [replace(EXAMPLES[1], turns=[]), EXAMPLES[2]]  # only the third has anybody
    assert not any(sampler.draw(examples, np.random.default_rng(k)).num_prompts for k in range(20))  # type: ignore[arg-type]


def test_prompts_that_do_not_fit_are_left_out() -> None:
    windows = [draw(seed, chunk=10.0, prompt_duration=6.0, **PROMPTED) for seed in range(40)]
    silence = 2
    for window in windows:
        *prompts, chunk = pieces(window)
        assert sum(len(prompt) + silence for prompt in prompts) * TOKEN <= 6.0
    assert max(window.num_prompts for window in windows) >= 2


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("chunk", 0, r"a number of seconds, 0.16 \(an audio token\) or more"),
        ("chunk", float("nan"), r"a number of seconds, 0.16 \(an audio token\) or more"),
        ("shorter_probability", 1.1, "a number from 0 to 1"),
        ("dense_probability", 7, "a number from 0 to 1"),
        ("prompted_probability", -1, "a number from 0 to 1"),
        ("stranger_probability", "often", "a number from 0 to 1"),
        ("compact_probability", True, "a number from 0 to 1"),
        ("shifted_probability", None, "a number from 0 to 1"),
        ("min_audibility", 2, "a number from 0 to 1"),
        ("prompt_duration", -3, "a number of seconds, 0 or more"),
        ("max_speakers", 0, "a whole number, 1 or more"),
    ],
)
def test_options_out_of_their_ranges_are_refused(option: str, value: Any, allowed: str) -> None:
    complaint = f"^WindowOptions: {option}={value!r} was given; it has to be {allowed}.$"
    with pytest.raises(ArgumentError, match=complaint):
        WindowOptions(**{option: value})


def test_options_at_the_ends_of_their_ranges_are_taken() -> None:
    window = draw(0, chunk=TOKEN, min_audibility=1, prompt_duration=0, stranger_probability=1, max_speakers=1)
    assert (len(window.audio.content), window.num_prompts) == (1, 0)


def test_the_beginning_is_always_the_same_window() -> None:
    sampler = WindowSampler(LoudnessFrontend(), WindowOptions(chunk=16.0))
    window = sampler.beginning(EXAMPLES[1])
    assert pieces(window) == [list(range(1001, 1101))] and window.num_prompts == 0
    assert window.turns == sampler.beginning(EXAMPLES[1]).turns
    short = sampler.beginning(conversation(0, seconds=8.0, first=1))
    assert len(short.audio.content) == 50


def test_the_same_generator_gives_the_same_window() -> None:
    first, second = draw(7), draw(7)
    assert first.turns == second.turns and torch.equal(first.audio.content, second.audio.content)


# batches


def test_targets_of_hundreds_of_windows_follow_the_grammar() -> None:
    for seed in range(25):
        options = {"chunk": 30.0, "prompted_probability": 0.6, "stranger_probability": 0.3}
        windows = [draw(100 * seed + k, **options) for k in range(12)]
        batch = collate(windows, VOCABULARY, bins_per_token=4)
        assert follows_grammar(VOCABULARY, batch.tokens, num_bins=4 * batch.lengths).all()
        assert (batch.tokens == EOS).sum(1).tolist() == [1] * 12
        assert batch.lengths.tolist() == [len(window.audio.content) for window in windows]
        assert batch.audio.content.shape == (12, max(batch.lengths), 1)
        assert batch.activity.shape == (12, 4 * max(batch.lengths), 8)
        assert (batch.num_given % 3 == 0).all()
        for row, given, window in zip(batch.tokens.tolist(), batch.num_given.tolist(), windows, strict=True):
            # the given triplets are those of the prompts: A, B, C...
            assert row[2:given:3] == [VOCABULARY.first_speaker + k for k in range(window.num_prompts)]
            written = VOCABULARY.decode(row)
            for turn, found in zip(window.turns[: window.num_prompts], written, strict=False):
                assert (found.start, found.end) == pytest.approx((turn.start, turn.end), abs=0.021)


@pytest.mark.parametrize("window", [7.0, 10.0, 15.0, 30.0])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_chunks_and_prompts_never_leave_the_window(window: float, share: float) -> None:
    vocabulary = Vocabulary(window=window, resolution=0.04, num_speakers=8)
    chunk = share * window
    options = {"chunk": chunk, "prompt_duration": window - chunk, "prompted_probability": 1.0}
    batch = collate([draw(seed, **options) for seed in range(40)], vocabulary, bins_per_token=4)
    assert chunk - TOKEN < max(batch.lengths - batch.starts) * TOKEN <= chunk
    assert max(batch.lengths) * TOKEN <= window


def test_what_a_vocabulary_cannot_say_is_no_target() -> None:
    window = Window(EXAMPLES[0].audio, [Triplet(1.0, 2.0, 0), Triplet(3.0, 4.0, 1)], 0, 0)
    with pytest.raises(VocabularyError, match="speakers"):
        collate([window], Vocabulary(window=60.0, resolution=0.04, num_speakers=1), bins_per_token=4)
    with pytest.raises(VocabularyError, match="outside the window"):
        collate([window], Vocabulary(window=3.5, resolution=0.04, num_speakers=2), bins_per_token=4)


def test_a_batch_is_padded_with_zeros_and_moves_as_one() -> None:
    long, short = (draw(0, chunk=chunk, shorter_probability=0.0, **UNPROMPTED) for chunk in (16.0, 3.2))
    batch = collate([long, short], VOCABULARY, bins_per_token=4)
    length = int(batch.lengths[1])
    assert (length, len(batch.audio.content[0])) == (20, 100)
    assert not batch.audio.content[1, length:].any() and batch.audio.content[1, :length].all()
    assert not batch.activity[1, 4 * length :].any()
    moved = batch.to(torch.device("meta"))
    assert len(moved) == 2
    tensors = [*moved.audio, moved.lengths, moved.starts, moved.tokens, moved.num_given, moved.activity]
    assert all(tensor.is_meta for tensor in tensors)


def test_activity_by_hand() -> None:
    vocabulary = Vocabulary(window=4.0, resolution=0.5, num_speakers=2)
    tokens = vocabulary.encode([Triplet(0.5, 1.6, 0), Triplet(1.5, 3.9, 1)])
    activity = rasterize(vocabulary, tokens, torch.zeros(8, 2))
    assert activity.T.tolist() == [[0, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1]]
    # what stands after the end, or is unfinished, is not there
    more = [*tokens, FIRST_TIME, FIRST_TIME + 7, vocabulary.first_speaker]
    assert torch.equal(rasterize(vocabulary, more, torch.zeros(8, 2)), activity)
    assert torch.equal(rasterize(vocabulary, [*tokens[:-1], FIRST_TIME + 6], torch.zeros(8, 2)), activity)
    assert not rasterize(vocabulary, [EOS], torch.zeros(8, 2)).any()
