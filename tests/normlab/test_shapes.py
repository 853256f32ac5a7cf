"""Shapes-10: the drawing, and that batch normalization matters on it."""

import pytest
import torch

from normlab.shapes import CLASSES, draw


def test_images_and_labels_look_like_those_of_cifar10():
    images, labels = draw(100, seed=0)
    assert images.shape == (100, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert labels.shape == (100,)
    assert labels.dtype == torch.int64


def test_the_ten_classes_have_distinct_names():
    assert len(CLASSES) == len(set(CLASSES)) == 10
    assert all(isinstance(name, str) for name in CLASSES)


def test_classes_are_balanced():
    assert draw(200, seed=0)[1].bincount(minlength=10).tolist() == [20] * 10
    uneven = draw(203, seed=0)[1].bincount(minlength=10)
    assert uneven.max() - uneven.min() == 1


def test_classes_come_in_random_order():
    _, labels = draw(1000, seed=0)
    assert labels[:100].bincount(minlength=10).tolist() != [10] * 10
    assert (labels[1:] < labels[:-1]).any()


@pytest.mark.parametrize("n", [0, 1, 7])
def test_a_handful_of_images_may_lack_classes(n):
    images, labels = draw(n, seed=0)
    assert images.shape == (n, 3, 32, 32)
    assert labels.unique().numel() == n


def test_a_seed_fixes_images_and_labels():
    first, second = draw(50, seed=3), draw(50, seed=3)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_another_seed_gives_other_images_and_another_order():
    first, second = draw(50, seed=3), draw(50, seed=4)
    assert not torch.equal(first[1], second[1])
    same = (first[0][:, None] == second[0][None]).flatten(2).all(2)
    assert not same.any()


def test_the_global_random_numbers_are_left_alone():
    state = torch.get_rng_state()
    draw(20, seed=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_image_is_flat_and_brightness_stays_in_range():
    images = draw(500, seed=0)[0].float()
    assert images.std((1, 2, 3)).min() > 5
    assert 60 < images.mean() < 195
