"""CAM++: statistics, embeddings of any shape, and normalisation inside convolutions."""

import torch

from pyannote_pix2seq.frontends.campplus import CAMPPlus, statistics_pooling


def test_equal_weights_are_plain_statistics():
    frames = torch.randn(2, 5, 40, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(2, 1, 40)
    weights[..., 10:30] = 0.3
    expected = torch.cat([frames[..., 10:30].mean(-1), frames[..., 10:30].std(-1)], dim=-1)
    torch.testing.assert_close(statistics_pooling(frames, weights)[:, 0], expected)


def test_embed_takes_any_leading_shape():
    campplus = CAMPPlus().eval()
    statistics = torch.rand(2, 3, 4, 1024)
    embeddings = campplus.embed(statistics)
    assert embeddings.shape == (2, 3, 4, 192)
    torch.testing.assert_close(embeddings[1, 2], campplus.embed(statistics[1, 2]))


def test_convolutions_take_in_the_normalisation_behind_them():
    campplus = CAMPPlus().train()
    assert not any(module.training for module in campplus.modules())
    layer = campplus.xvector.block1["tdnnd1"]
    with torch.no_grad():
        for weights in (
            layer.nonlinear2[0].running_mean,
            layer.nonlinear2[0].running_var,
            *layer.nonlinear2.parameters(),
        ):
            weights.uniform_(0.5, 2.0)
        inputs = torch.randn(2, 128, 30)
        expected = layer.cam_layer(layer.nonlinear2(layer.linear1(layer.nonlinear1(inputs.clone()))))
        torch.testing.assert_close(layer(inputs.clone()), expected)


def test_a_single_frame_has_no_deviation():
    frames = torch.randn(1, 5, 40, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(1, 1, 40)
    weights[..., 7] = 2.0
    mean, deviation = statistics_pooling(frames, weights)[0, 0].chunk(2)
    torch.testing.assert_close(mean, frames[0, :, 7])
    assert deviation.max() < 1e-2  # and no NaN
