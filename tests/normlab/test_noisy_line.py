"""The noisy line of the chapter on regularization."""

import torch

from normlab.data import noisy_line


def test_inputs_and_targets_are_columns_of_float32():
    parts = noisy_line(n=7)
    assert [list(part.shape) for part in parts] == [[7, 1], [7, 1], [200, 1], [200, 1]]
    assert {part.dtype for part in parts} == {torch.float32}


def test_training_inputs_are_evenly_spaced_from_minus_one_to_one():
    train_x = noisy_line(n=5)[0]
    assert torch.equal(train_x.flatten(), torch.tensor([-1, -0.5, 0, 0.5, 1]))


def test_test_inputs_lie_within_the_training_range_and_are_no_training_inputs():
    train_x, _, test_x, _ = noisy_line()
    assert test_x.min() > -1 and test_x.max() < 1
    assert not torch.isin(test_x, train_x).any()


def test_without_noise_the_points_lie_on_the_line():
    train_x, train_y, test_x, test_y = noisy_line(noise=0)
    assert torch.allclose(train_y, 1.5 * train_x) and torch.allclose(test_y, 1.5 * test_x)


def test_the_noise_has_mean_zero_and_the_standard_deviation_asked_for():
    train_x, train_y, _, _ = noisy_line(n=20_000, noise=0.3)
    noise = train_y - 1.5 * train_x
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 0.3) < 0.01


def test_training_and_test_noise_differ():
    train_x, train_y, test_x, test_y = noisy_line(n=200)
    difference = (train_y - 1.5 * train_x) - (test_y - 1.5 * test_x)
    assert (difference.abs() > 1e-6).all()


def test_a_seed_gives_the_same_points_and_another_seed_others():
    same, again, other = noisy_line(seed=1), noisy_line(seed=1), noisy_line(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(same, again, strict=True))
    assert not torch.equal(same[1], other[1])


def test_the_global_random_numbers_stay_as_they_are():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    noisy_line()
    assert torch.equal(torch.rand(1), expected)
