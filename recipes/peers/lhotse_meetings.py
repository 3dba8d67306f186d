"""Simulate meetings with lhotse and measure how long it takes: run by recipes/benchmark_simulation.py.

    python lhotse_meetings.py FOLDER --meetings 12 --speakers 4 --seconds 50 --runs 4 --turns ami/

Needs lhotse and torchaudio. FOLDER holds speech.tsv (speaker, path, start, seconds of each utterance) and, if there is
any, noise.tsv (path). Turn-taking is fitted to RTTM files; then come one random impulse response per speaker, recorded
noise, clipping, a narrow band with mu-law, and mp3, each as implemented in lhotse. The last line of the output is JSON:
seconds of conversation, and seconds of processor time to plan them, to render voices alone, and to render everything.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut, Recording, SupervisionSet
    from lhotse.cut import Cut


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def read_utterances(folder: Path) -> CutSet:
    from lhotse import CutSet, Recording

    rows = read_table(folder / "speech.tsv")
    recordings = {path: Recording.from_file(folder / path) for path in {row["path"] for row in rows}}
    return CutSet.from_cuts(
        utterance(f"utterance-{number}", recordings[row["path"]], row) for number, row in enumerate(rows)
    )


def utterance(name: str, recording: Recording, row: dict[str, str]) -> MonoCut:
    from lhotse import MonoCut, SupervisionSegment

    start, seconds = float(row["start"]), float(row["seconds"])
    supervision = SupervisionSegment(name, recording.id, 0.0, seconds, speaker=row["speaker"])
    return MonoCut(name, start, seconds, channel=0, recording=recording, supervisions=[supervision])


def read_rttms(folders: list[Path]) -> SupervisionSet:
    from lhotse import SupervisionSegment, SupervisionSet

    paths = [path for folder in folders for path in sorted(folder.glob("*.rttm"))]
    lines = [line.split() for path in paths for line in path.read_text().splitlines()]
    return SupervisionSet.from_segments(
        SupervisionSegment(f"turn-{number}", line[1], float(line[3]), float(line[4]), speaker=line[7])
        for number, line in enumerate(lines)
        if line and line[0] == "SPEAKER" and float(line[4]) > 0
    )


def with_everything(meeting: Cut, noises: list[Cut], rng: random.Random) -> Cut:
    from lhotse.augmentation import Compress, Narrowband
    from lhotse.augmentation.clipping import Clipping
    from lhotse.utils import fastcopy

    heard = meeting.reverb_rir(mix_first=False)
    if noises:
        noise = rng.choice(noises)
        heard = heard.mix(noise.truncate(duration=min(noise.duration, meeting.duration)), snr=rng.uniform(0, 30))
    effects = [
        Clipping(hard=True, gain_db=rng.uniform(3, 12), normalize=True),
        Narrowband(codec="mulaw", source_sampling_rate=16000, restore_orig_sr=True),
        Compress(codec="mp3", compression_level=rng.uniform(0.3, 0.97)),
    ]
    return fastcopy(heard, transforms=effects)


def fastest(meetings: list[Cut], runs: int) -> float:
    """Least processor time that it takes to render meetings, in seconds, after one run to warm up."""
    return sum(min([processor_seconds(meeting.load_audio) for _ in range(1 + runs)][1:]) for meeting in meetings)


def processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--meetings", type=int, required=True)
    parser.add_argument("--speakers", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of a meeting, roughly")
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--turns", type=Path, nargs="+", required=True, help="folders of RTTM files")
    return parser.parse_args()


def simulate(options: argparse.Namespace) -> None:
    """Simulate and render meetings, and print how long it took."""
    import torch
    from lhotse import Recording
    from lhotse.workflows.meeting_simulation import ConversationalMeetingSimulator

    torch.set_num_threads(1)
    rng = random.Random(0)
    utterances = read_utterances(options.folder)
    noise = options.folder / "noise.tsv"
    rows = read_table(noise) if noise.exists() else []
    noises = [Recording.from_file(options.folder / row["path"]).to_cut() for row in rows]
    simulator = ConversationalMeetingSimulator()
    simulator.fit(read_rttms(options.turns))
    meetings: list[Cut] = []

    def plan() -> None:
        share = options.seconds / options.speakers
        meetings[:] = simulator.simulate(
            utterances,
            num_meetings=options.meetings,
            num_speakers_per_meeting=options.speakers,
            max_duration_per_speaker=share,
            max_utterances_per_speaker=100,
        )

    planned = processor_seconds(plan)
    plain = fastest(meetings, options.runs)
    full = fastest([with_everything(meeting, noises, rng) for meeting in meetings], options.runs)
    seconds = sum(meeting.duration for meeting in meetings)
    times = {"planning": planned, "voices alone": plain, "everything on": full}
    print(json.dumps({"seconds": seconds, "times": times}))


if __name__ == "__main__":
    simulate(parse())
