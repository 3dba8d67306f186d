"""Models and parameters of a pipeline: given, changed later, and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipelines import recording, same, with_params
from pyannote.core import Annotation, Segment

from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.vocabulary import Vocabulary

STRATEGIES = {"speaker": "two_pass", "voiced_mel": "chain", "mel": "chain"}


@pytest.mark.parametrize(("frontend", "strategy"), STRATEGIES.items())
def test_two_passes_are_the_default_where_voices_are_heard(frontend: str, strategy: str) -> None:
    model = Pix2Seq(frontend=frontend, width=32, num_layers=1, num_heads=2)
    model.specifications = specifications_of(Vocabulary(window=20.0, resolution=0.04, num_speakers=4))
    model.build()
    assert Pix2SeqDiarization(model, chunk=10.0).strategy == strategy


def test_every_way_to_give_a_model_is_the_same(
    tiny_model: Pix2Seq, tiny_pipeline: Path, pipeline: Pix2SeqDiarization
) -> None:
    path = tiny_pipeline / "model" / "pytorch_model.bin"
    expected = pipeline(recording(2.0))
    for model in (tiny_model, path, str(path), {"checkpoint": str(path)}):
        given = Pix2SeqDiarization(model, chunk=10.0, decoding={"max_turns": 12})  # type: ignore[arg-type]
        assert same(given(recording(2.0)), expected)


def test_unknown_parameters(tiny_pipeline: Path) -> None:
    with pytest.raises(TypeError, match="chunks"):
        with_params(tiny_pipeline, chunks=10.0)
    with pytest.raises(TypeError, match=r"DecodingOptions has no option beams\."):
        with_params(tiny_pipeline, decoding={"beams": 3})
    with pytest.raises(ValueError, match="temperature=0"):
        with_params(tiny_pipeline, decoding={"temperature": 0})


def test_unknown_options_of_a_call(pipeline: Pix2SeqDiarization) -> None:
    with pytest.raises(TypeError, match="speakers"):
        pipeline(recording(1.0), speakers=2)


@pytest.mark.parametrize("chunk", [0.5, 10.5, -1.0, float("nan")])
def test_chunks_that_do_not_fit_the_model(tiny_model: Pix2Seq, chunk: float) -> None:
    with pytest.raises(ValueError, match=r"it has to be 1 s to 10.0 s, half of the model's window"):
        Pix2SeqDiarization(tiny_model, chunk=chunk)


@pytest.mark.parametrize("options", [{}, {"chunk": 0.75}, {"chunk": 1.0}])
def test_a_window_that_is_too_short_for_chunks(tiny_model: Pix2Seq, options: dict[str, float]) -> None:
    tiny_model.specifications = specifications_of(Vocabulary(window=1.5, resolution=0.04, num_speakers=4))
    with pytest.raises(ValueError, match=r"a window of 1\.5 s was given; it has to be 2 s or more.*model_window"):
        Pix2SeqDiarization(tiny_model, **options)
    tiny_model.specifications = specifications_of(Vocabulary(window=2.0, resolution=0.04, num_speakers=4))
    assert Pix2SeqDiarization(tiny_model).grid.chunk == 7  # 1 s, in whole audio tokens


def test_decoding_may_be_changed_later(tiny_model: Pix2Seq) -> None:
    pipeline = Pix2SeqDiarization(tiny_model, chunk=5.0)
    pipeline.decoding = {"method": "beam", "max_turns": 3}
    assert pipeline.writer.decoding == DecodingOptions(method="beam", max_turns=3)
    with pytest.raises(TypeError, match="DecodingOptions has no option beams. It has method, temperature, "):
        pipeline.decoding = {"beams": 4}
    with pytest.raises(TypeError, match="Decoding options are a mapping, such as .*, not 'beam'"):
        Pix2SeqDiarization(tiny_model, chunk=5.0, decoding="beam")


def test_what_is_changed_later_is_checked_too(tiny_model: Pix2Seq) -> None:
    for name, value, complaint in (
        ("strategy", "both", "strategy='both' was given; it has to be chain with this model's frontend\\."),
        ("strategy", "two_pass", "it has to be chain with this model's frontend\\."),
        ("chunk", 0.0, "chunk=0.0 was given"),
        ("chunk", "30", "chunk='30' was given"),
        ("hop", "4", "hop='4' was given"),
        ("hop", 0.8, r"hop=0\.8 was given; it has to be 1 s to 5 s, a fifth of the chunk to all of it"),
        ("hop", 5.1, r"hop=5\.1 was given"),
    ):
        pipeline = Pix2SeqDiarization(tiny_model, chunk=5.0)
        setattr(pipeline, name, value)
        with pytest.raises(ValueError, match=complaint):
            pipeline(recording(1.0))


@pytest.mark.parametrize("chunk", [1.0, 1.1, 2.3, 3.0, 4.9])
def test_hops_are_a_fifth_of_the_chunk_to_all_of_it(tiny_model: Pix2Seq, chunk: float) -> None:
    for hop in (0.2 * chunk, chunk / 5, float(f"{chunk / 5:g}"), chunk, chunk + 9e-7):
        grid = Pix2SeqDiarization(tiny_model, chunk=chunk, hop=hop).grid
        assert 1 <= grid.hop <= grid.chunk
    with pytest.raises(ValueError, match=f"it has to be {chunk / 5:g} s to {chunk:g} s, a fifth of the chunk"):
        Pix2SeqDiarization(tiny_model, chunk=chunk, hop=0.19 * chunk)


def test_there_is_nothing_to_tune_for_pyannote_pipeline(pipeline: Pix2SeqDiarization) -> None:
    assert pipeline.default_parameters() == {} == pipeline.parameters()
    assert pipeline.get_direction() == "minimize"
    classes = pipeline.classes()
    assert [next(classes), next(classes)] == ["SPEAKER_00", "SPEAKER_01"]
    reference = Annotation(uri="x")
    reference[Segment(0, 1)] = "ann"
    assert pipeline.get_metric()(reference, reference.rename_labels(generator="string")) == 0.0
