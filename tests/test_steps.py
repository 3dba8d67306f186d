"""Steps of training."""

from itertools import product

from pyannote_pix2seq.training.steps import combined_seed


def test_every_step_of_every_process_has_a_seed_of_its_own():
    numbers = list(product((0, 1), range(100), (0, 1)))
    seeds = [combined_seed(*each) for each in numbers]
    assert len(set(seeds)) == len(numbers) and all(0 <= seed < 2**63 for seed in seeds)
    assert combined_seed(0, 7, 1) == combined_seed(0, 7, 1) == 7180591789454772395
