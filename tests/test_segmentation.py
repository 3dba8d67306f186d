"""Local segmentation networks."""

import torch
from pyannote.audio.models.blocks.sincnet import SincNet
from pyannote.audio.models.segmentation import PyanNet

from pyannote_pix2seq.frontends.segmentation import FrugalSincNet, build_overlap_segmentation, build_segmentation


def test_waveforms_are_filtered_a_few_at_a_time_with_the_same_output(monkeypatch, float32):
    for build in (build_segmentation, build_overlap_segmentation):
        network = build().eval()
        plain = PyanNet(lstm={"num_layers": 4})
        plain.specifications = network.specifications
        plain.build()
        plain.load_state_dict(network.state_dict())
        waveforms = torch.randn(7, 1, 16000, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            torch.testing.assert_close(network(waveforms), plain.eval()(waveforms))
    sizes, filtered = [], SincNet.forward
    monkeypatch.setattr(SincNet, "forward", lambda self, few: (sizes.append(len(few)), filtered(self, few))[1])
    network.sincnet(waveforms)
    assert sizes == [FrugalSincNet.AT_ONCE, FrugalSincNet.AT_ONCE, 1]
