import math
from typing import Any

import pytest
import torch
from rows import rows_of_cache
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pyannote_pix2seq.network.attention import VOICE_GAIN, Attention, Source, voice_bias, voice_products
from pyannote_pix2seq.network.rotary import Rotary, rotate
from pyannote_pix2seq.network.transformer import Block, Cache, Positions, Transformer

WIDTH, HEADS, VOICES, VOICE_DIM = 16, 2, 2, 5


def make_transformer(num_layers: int = 3, num_voices: int = VOICES) -> Transformer:
    torch.manual_seed(0)
    transformer = Transformer(WIDTH, num_layers, HEADS, num_voices, dropout=0.1).double().eval()
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return transformer


def make_positions(num_positions: int, batch: int = 2, seed: int = 0) -> Positions:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    time = torch.rand(batch, num_positions, generator=generator, dtype=torch.float64) * 50
    voice = torch.nn.functional.normalize(normal(batch, num_positions, VOICES, VOICE_DIM), dim=-1)
    return Positions(normal(batch, num_positions, WIDTH), time, voice)


def part(positions: Positions, first: int, last: int) -> Positions:
    return Positions(positions.state[:, first:last], positions.time[:, first:last], positions.voice[:, first:last])


def real(positions: Positions) -> Tensor:
    return torch.ones(positions.time.shape, dtype=torch.bool)


@pytest.fixture(scope="module")
def transformer() -> Transformer:
    return make_transformer()


@pytest.fixture(scope="module")
def prefix(transformer: Transformer) -> Cache:
    positions = make_positions(6)
    return transformer.read(positions, real(positions))[1]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_reading_in_pieces_equals_reading_at_once(transformer: Transformer, prefix: Cache) -> None:
    written = make_positions(7, seed=1)
    expected, whole = transformer.write(written, prefix)
    for borders in [range(8), (0, 3, 4, 7)]:
        cache, states = prefix, []
        for first, last in zip(borders[:-1], borders[1:], strict=True):
            piece = part(written, first, last)
            state, cache = transformer.write(piece, cache)
            states.append(state)
        close(torch.cat(states, dim=1), expected)
        for found, expected_pair in zip(cache.written, whole.written, strict=True):
            for tensor, expected_tensor in zip(found, expected_pair, strict=True):
                close(tensor, expected_tensor)
        close(cache.written_voice, whole.written_voice)


def test_the_prefix_sees_itself_in_both_directions(transformer: Transformer) -> None:
    positions, other = make_positions(6), make_positions(6)
    other.state[:, -1, 0] += 1
    state, changed = (transformer.read(s, real(s))[0] for s in (positions, other))
    assert ((state - changed).abs().amax(-1) > 1e-6).all()


def test_written_positions_see_only_what_was_before(transformer: Transformer, prefix: Cache) -> None:
    written, other = make_positions(7, seed=1), make_positions(7, seed=1)
    other.state[:, 4, 0] += 1
    other.voice[:, 4] *= -1
    state, changed = (transformer.write(s, prefix)[0] for s in (written, other))
    assert torch.equal(state[:, :4], changed[:, :4])
    assert ((state[:, 4:] - changed[:, 4:]).abs().amax(-1) > 1e-6).all()


def test_padding_is_not_seen(transformer: Transformer) -> None:
    short, padded = make_positions(4), make_positions(6)
    padded.state[:, :4], padded.time[:, :4], padded.voice[:, :4] = short.state, short.time, short.voice
    is_real = torch.arange(6).expand(2, -1) < 4
    expected, past = transformer.read(short, real(short))
    found, padded_past = transformer.read(padded, is_real)
    close(found[:, :4], expected)
    written = make_positions(3, seed=1)
    close(transformer.write(written, padded_past)[0], transformer.write(written, past)[0])


def test_only_differences_of_time_matter(transformer: Transformer) -> None:
    positions = make_positions(6)
    later = Positions(positions.state, positions.time + 17.3, positions.voice)
    close(transformer.read(later, real(later))[0], transformer.read(positions, real(positions))[0])


def test_only_cosines_of_voices_matter(transformer: Transformer) -> None:
    positions = make_positions(6)
    rotation = torch.linalg.qr(torch.randn(VOICE_DIM, VOICE_DIM, dtype=torch.float64)).Q
    turned = Positions(positions.state, positions.time, positions.voice @ rotation)
    close(transformer.read(turned, real(turned))[0], transformer.read(positions, real(positions))[0])
    silent = Positions(positions.state, positions.time, torch.zeros_like(positions.voice))
    assert (
        transformer.read(silent, real(silent))[0] - transformer.read(positions, real(positions))[0]
    ).abs().max() > 1e-3


def test_examples_of_a_cache_are_kept_repeated_and_reordered(transformer: Transformer, prefix: Cache) -> None:
    index = torch.tensor([1, 1, 0])
    written = make_positions(2, seed=1)
    chosen = Positions(written.state[index], written.time[index], written.voice[index])
    expected = transformer.write(written, prefix)[0][index]
    close(transformer.write(chosen, rows_of_cache(prefix, index))[0], expected)


def test_sequences_about_one_recording_share_what_was_heard(transformer: Transformer, prefix: Cache) -> None:
    owner = torch.tensor([0, 0, 0, 1, 1, 1])
    written = make_positions(4, batch=6, seed=1)
    shared = prefix.reorder(owner)
    assert shared.heard_voice is prefix.heard_voice and shared.heard is prefix.heard
    expected, copied = transformer.write(part(written, 0, 3), rows_of_cache(prefix, owner))
    found, shared = transformer.write(part(written, 0, 3), shared)
    close(found, expected)
    order = torch.tensor([2, 0, 0, 3, 5, 4])
    last = part(written, 3, 4)
    close(transformer.write(last, shared.reorder(order))[0], transformer.write(last, rows_of_cache(copied, order))[0])


def test_what_was_heard_is_not_copied_for_what_is_written(transformer: Transformer) -> None:
    heard = make_positions(50)
    cache = transformer.read(heard, real(heard))[1]
    sizes: list[int] = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func.overloadpacket in (torch.ops.aten.clone, torch.ops.aten.copy_):
                sizes.append(args[0].numel())
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Copies():
        transformer.write(make_positions(1, batch=4, seed=1), cache.reorder(torch.arange(2).repeat_interleave(2)))
    assert 0 < max(sizes) < min(cache.heard[0][0].numel(), cache.heard_voice.numel())


def test_attention_equals_its_formula() -> None:
    attention = Attention(WIDTH, HEADS, VOICES).double()
    torch.nn.init.normal_(attention.voice_scale)
    positions = make_positions(5, batch=1)
    no_rotation = torch.stack([torch.ones(1, 1, 5, WIDTH // HEADS), torch.zeros(1, 1, 5, WIDTH // HEADS)])
    query, key, value = attention.project(positions.state, no_rotation.double())
    products = torch.einsum("bqvd,bkwd->bvwqk", positions.voice, positions.voice)
    blocked = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    (bias,) = voice_bias([attention], products.reshape(1, VOICES**2, 5, 5))
    found = attention(query, [Source(key, value, bias, blocked)])
    heads = []
    for head in range(HEADS):
        logits = query[0, head] @ key[0, head].T / (WIDTH / HEADS) ** 0.5
        for i in range(VOICES):
            for j in range(VOICES):
                scale = VOICE_GAIN * attention.voice_scale[head, VOICES * i + j]
                logits = logits + scale * positions.voice[0, :, i] @ positions.voice[0, :, j].T
        heads.append(logits.softmax(-1) @ value[0, head])
    close(found[0], attention.output(torch.cat(heads, dim=-1)))


def test_each_layer_and_each_row_has_its_own_bias() -> None:
    layers = [Attention(WIDTH, HEADS, VOICES) for _ in range(3)]
    for layer in layers:
        torch.nn.init.normal_(layer.voice_scale)
    voice, others = torch.randn(4, 5, VOICES, VOICE_DIM), torch.randn(4, 7, VOICES, VOICE_DIM)
    scales = torch.stack([layer.voice_scale for layer in layers]).unflatten(-1, (VOICES, VOICES))
    expected = VOICE_GAIN * torch.einsum("lhvw,rqvd,rkwd->lrhqk", scales, voice, others)
    torch.testing.assert_close(voice_bias(layers, voice_products(voice, others)), expected, rtol=1e-5, atol=1e-4)


def test_heads_differ_in_how_much_the_same_voice_matters_before_training() -> None:
    first, mixed, mixed_again, second = Attention(24, 4, 2).voice_scale.T.tolist()
    assert first == second == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert mixed == mixed_again == [0, 0, 0, 0]


def test_rotation_by_a_quarter() -> None:
    vector = torch.tensor([1.0, 2.0, 3.0, 4.0])
    quarter = torch.tensor([[0.0, 1.0, 0.0, 1.0], [-1.0, 0.0, 1.0, 0.0]])  # the first pair turns, the second stays
    assert rotate(vector, quarter).tolist() == [-3.0, 2.0, 1.0, 4.0]


def test_rotations_are_by_cosines_and_sines_of_times() -> None:
    rotary = Rotary(4)
    first, second = (0.5 * rotary.frequencies).tolist()
    x, y = torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.0, 1.0])
    rotation = rotary(torch.tensor(0.5))
    close(rotate(x, rotation), torch.tensor([math.cos(first), 0.0, math.sin(first), 0.0]))
    close(rotate(y, rotation), torch.tensor([0.0, -math.sin(second), 0.0, math.cos(second)]))


def test_periods_are_from_2_to_1000_audio_tokens() -> None:
    periods = math.tau / Rotary(32).frequencies
    assert periods[[0, -1]].tolist() == pytest.approx([2, 1000], rel=1e-4)
    assert (periods[1:] / periods[:-1]).tolist() == pytest.approx([500 ** (1 / 15)] * 15, rel=1e-4)


def test_what_is_read_and_written_is_normalised() -> None:
    transformer = Transformer(WIDTH, 2, HEADS, VOICES, dropout=0.1).double().eval()
    state, cache = transformer.read(make_positions(6), real(make_positions(6)))
    for normalised in (state, transformer.write(make_positions(3), cache)[0]):
        torch.testing.assert_close(normalised, torch.nn.functional.layer_norm(normalised, [WIDTH]), atol=1e-4, rtol=0)


def test_dropout_is_of_both_sublayers() -> None:
    block = Block(WIDTH, HEADS, VOICES, dropout=1.0).train()
    state = torch.randn(1, 5, WIDTH)
    query, (key, value) = block.project(state, torch.stack([torch.ones(5, 8), torch.zeros(5, 8)]))
    assert torch.equal(block(state, query, [Source(key, value, torch.zeros(1, 2, 5, 5), None)]), state)


def test_a_width_that_heads_cannot_share() -> None:
    with pytest.raises(ValueError, match="width=18 cannot be shared by 2 heads: it must be a multiple of 4"):
        Transformer(18, 1, 2, 0, 0.0)
