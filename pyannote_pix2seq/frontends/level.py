"""How loud recordings are."""

from torch import Tensor

QUIET = 10 ** (-45 / 20)
"""Standard deviation of a waveform below which it is too quiet: 45 dB below full scale."""
LARGEST_GAIN = 10 ** (40 / 20)
"""40 dB more: below that, there is little but the rounding of 16-bit samples."""


def raised(waveforms: Tensor) -> Tensor:
    """Quiet waveforms as loud as networks need them, others as they are.

    PyanNet normalises the variance of what it hears, but first adds 1e-5 to it: as much as the variance of a waveform
    50 dB below full scale. Mel filter banks, too, have a floor. So quiet recordings sounded as if they were faint (see
    docs/log.md).

    Parameters
    ----------
    waveforms : (batch, 1, num_samples) torch.Tensor

    Returns
    -------
    raised : (batch, 1, num_samples) torch.Tensor
        Each times a number from 1 to `LARGEST_GAIN`.
    """
    level = waveforms.std(dim=-1, keepdim=True, unbiased=False)
    return waveforms * (QUIET / level.clamp(min=QUIET / LARGEST_GAIN)).clamp(min=1)
