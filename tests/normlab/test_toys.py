"""The two small data sets of the chapter on first experiments."""

import torch

from normlab.data import circles, rgb_map


def test_circles_come_with_seventy_percent_for_training():
    train_x, train_y, test_x, test_y = circles()
    assert train_x.shape == (1400, 2) and test_x.shape == (600, 2)
    assert train_y.shape == (1400,) and test_y.shape == (600,)
    assert train_x.dtype == torch.float32 and train_y.dtype == torch.int64


def test_class_one_is_the_inner_circle():
    x, y, *_ = circles(noise=0.0, factor=0.4)
    radius = x.norm(dim=1)
    assert torch.allclose(radius, torch.where(y == 1, 0.4, 1.0))


def test_noise_moves_each_coordinate_by_its_standard_deviation():
    clean, noisy = (torch.cat(circles(n=20_000, noise=noise)[::2]) for noise in (0.0, 0.1))
    assert torch.isclose((noisy.square() - clean.square()).mean(), torch.tensor(0.01), rtol=0.1)


def test_half_of_the_points_lie_on_each_circle():
    _, train_y, _, test_y = circles(n=200)
    assert torch.cat([train_y, test_y]).bincount().tolist() == [100, 100]


def test_the_same_seed_gives_the_same_circles_whatever_torch_draws():
    first = circles(n=50)
    torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(first, circles(n=50), strict=True))
    assert not torch.equal(first[0], circles(n=50, seed=1)[0])


def test_training_and_test_points_differ():
    train, _, test, _ = circles(n=200)
    assert not (train[:, None] == test).all(dim=2).any()


def test_colours_lie_between_minus_one_and_one_in_double_precision():
    rgb, targets, test_rgb, test_targets = rgb_map()
    assert rgb.shape == targets.shape == (1000, 3)
    assert test_rgb.shape == test_targets.shape == (300, 3)
    assert rgb.dtype == targets.dtype == torch.float64
    assert -1 <= rgb.min() < -0.99 and 0.99 < rgb.max() <= 1


def test_the_targets_are_the_three_functions_of_the_colour():
    for rgb, targets in (rgb_map()[:2], rgb_map()[2:]):
        r, g, b = rgb.T
        assert torch.allclose(targets[:, 0], r + 2 * g + 3 * b)
        assert torch.allclose(targets[:, 1], r**2 + 2 * g**2 + 3 * b**2)
        assert torch.allclose(targets[:, 2], -3 * r - 4 * g - 5 * b)


def test_colours_do_not_depend_on_what_torch_drew_before():
    first = rgb_map(10, 5)
    torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(first, rgb_map(10, 5), strict=True))
    assert not torch.equal(first[0], rgb_map(10, 5, seed=1)[0])
