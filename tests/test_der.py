"""The diarization error rate."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from toy import annotation

from pyannote_pix2seq.der import DerComponents, der_components, error_rate

REFERENCE = annotation((0, 6, "ann"), (6, 10, "bob"))
# 1 s of false alarm, 2 s missed, 3 s of bob given to the voice that is mostly ann
HYPOTHESIS = annotation((2, 9, "x"), (9, 11, "y"))


def test_parts_of_the_error_rate():
    found = der_components(REFERENCE, HYPOTHESIS)
    assert (found.false_alarm, found.missed_detection, found.confusion) == pytest.approx((10.0, 20.0, 30.0))
    assert found.total == pytest.approx(60.0)
    assert found.brief == "60.0 (10.0 / 20.0 / 30.0)"
    assert str(found) == "DER 60.0 % (false alarm 10.0, missed detection 20.0, confusion 30.0)"


@pytest.mark.filterwarnings("error")
def test_scoring_from_the_first_turn_to_the_last_needs_no_warning():
    assert der_components(REFERENCE, REFERENCE).total == 0.0


def test_only_what_is_in_the_uem_counts():
    assert der_components(REFERENCE, HYPOTHESIS, uem=Timeline([Segment(2, 6)])).total == 0.0
    # over 2...10: 3 s of confusion in 8 s
    uem = Timeline([Segment(2, 10)])
    assert der_components(REFERENCE, HYPOTHESIS, uem=uem).confusion == pytest.approx(100 * 3 / 8)


def test_overlap_counts_for_each_speaker():
    reference = annotation((0, 10, "ann"), (5, 10, "bob"))
    assert der_components(reference, annotation((0, 10, "x"))).missed_detection == pytest.approx(100 * 5 / 15)


def test_silent_references():
    silence = Annotation()
    assert der_components(silence, silence).total == 0.0
    assert der_components(silence, HYPOTHESIS) == DerComponents(100.0, 0.0, 0.0)
    assert der_components(HYPOTHESIS, silence) == DerComponents(0.0, 100.0, 0.0)


def test_rates_of_many_files_are_weighted_by_their_speech():
    metric = DiarizationErrorRate()
    uem = Timeline([Segment(0, 20)])
    metric(REFERENCE, HYPOTHESIS, uem=uem)
    metric(annotation((0, 20, "ann")), annotation((0, 20, "x")), uem=uem)
    assert DerComponents.from_seconds(metric[:]).total == pytest.approx(100 * 6 / 30)
    assert DerComponents.from_seconds(metric[:]).total == pytest.approx(100 * abs(metric))


def test_the_error_rate_of_a_pipeline_adds_up_over_files() -> None:
    made = {"good": REFERENCE, "bad": HYPOTHESIS}
    files = [{"uri": uri, "annotation": REFERENCE, "annotated": Timeline([Segment(0, 20)])} for uri in made]
    found = error_rate(lambda file: SimpleNamespace(speaker_diarization=made[file["uri"]]), files)
    assert found.total == pytest.approx(100 * 6 / 20) and found.confusion == pytest.approx(100 * 3 / 20)
