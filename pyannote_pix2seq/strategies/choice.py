"""Choice of the strategy and the prompts that suit a model."""

from __future__ import annotations

from pyannote_pix2seq.frontends import Frontend
from pyannote_pix2seq.numeric import check_ranges
from pyannote_pix2seq.strategies.chain import Chain
from pyannote_pix2seq.strategies.strategy import STRATEGIES
from pyannote_pix2seq.strategies.two_pass import TwoPass

Strategy = type[Chain] | type[TwoPass]


def usual_strategy(frontend: Frontend) -> str:
    """Two passes where there are pretrained voices to cluster, and a chain elsewhere."""
    return "two_pass" if frontend.num_voices and frontend.frozen else "chain"


def usual_prompts(frontend: Frontend) -> str:
    """Compact prompts, or clips if the frontend is trained with the model, see `Writer`."""
    return "compact" if frontend.frozen else "clip"


def strategy_named(name: str, frontend: Frontend) -> Strategy:
    """Class of a strategy.

    Raises
    ------
    ValueError
        If there is no such strategy, or it needs voices and the frontend has none.
    """
    allowed = STRATEGIES if frontend.num_voices else ("chain",)
    ranges = {"strategy": (name in allowed, f"{' or '.join(allowed)} with this model's frontend")}
    check_ranges("Pix2SeqDiarization", {"strategy": name}, ranges)
    return Chain if name == "chain" else TwoPass
