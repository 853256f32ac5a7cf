"""The circles."""

import torch

from normlab.data import circles


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
