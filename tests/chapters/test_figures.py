"""The figures that one chapter alone draws, and what the cells of the chapters draw with."""

import ast
import importlib
import inspect
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch

from figures import (
    clinic,
    deployment,
    first_experiments,
    from_scratch,
    how_fast,
    initialization_and_learning_rate,
    lenet_cifar10,
    many_devices,
    nn_batchnorm,
    normalization_family,
    regularization,
    residual_networks,
    saving_and_loading,
    the_mathematics,
    transformers,
    why_it_works,
    why_normalize,
)
from normlab import style
from tools import ROOT
from tools.notebooks import code_cells, parse

pytestmark = pytest.mark.usefixtures("clean_style")
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))


def attributes(chapter: Path, module: str) -> set[str]:
    """Return what the cells of a chapter take from a module that they call by this name."""
    return {
        node.attr
        for cell in code_cells(nbformat.read(chapter, as_version=4))
        for node in ast.walk(parse(cell))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == module
    }


def own_figures(chapter: Path) -> set[str]:
    """Return what the module of this chapter's figures, if there is one, offers."""
    slug = chapter.stem.partition("-")[2].replace("-", "_")
    if not (ROOT / "chapters" / "figures" / f"{slug}.py").exists():
        return set()
    module = importlib.import_module(f"figures.{slug}")
    functions = inspect.getmembers(module, inspect.isfunction)
    return {n for n, f in functions if f.__module__ == module.__name__ and n[0] != "_"}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_name_of_style_that_a_chapter_uses_exists(chapter):
    missing = {name for name in attributes(chapter, "style") if not hasattr(style, name)}
    assert missing == set()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_draws_exactly_the_figures_that_only_it_draws(chapter):
    assert attributes(chapter, "figures") == own_figures(chapter)


def test_the_opacity_of_a_cell_of_a_confusion_matrix_grows_with_its_share():
    ax = lenet_cifar10.confusion(torch.tensor([[0.96, 0.04], [0.25, 0.75]]), ["cat", "dog"])
    (one, nothing), (some, other) = ax.images[0].get_array()[..., 3]
    assert nothing == 0 < some < one == other == 1


def test_a_confusion_matrix_names_both_axes():
    ax = lenet_cifar10.confusion(torch.eye(2), ["cat", "dog"])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["cat", "dog"]
    assert ax.get_xlabel() == "predicted class" and ax.get_ylabel() == "true class"


def test_a_descent_is_drawn_with_its_path_and_its_minimum():
    path = torch.tensor([[3.0, 1.0], [1.0, -0.5], [0.0, 0.0]])
    figure = why_normalize.descent(
        {"raw": (torch.diag(torch.tensor([1.0, 9.0])), path)}, ("a", "b")
    )
    [ax] = figure.axes
    drawn, minimum = ax.lines
    assert drawn.get_xydata().tolist() == path.tolist()
    assert minimum.get_xydata().tolist() == [[0, 0]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")


def test_a_drift_shows_the_median_and_the_middle():
    values = np.arange(101.0)[None] + np.zeros((3, 1))  # [snapshots, samples]
    figure = why_normalize.drift({"with BN": values}, [0, 5, 10], "input")
    levels = [line.get_ydata().tolist() for line in figure.axes[0].lines]
    assert levels == [[50] * 3, [15] * 3, [85] * 3]


def test_tiles_fill_the_selected_values_and_no_others():
    selected = torch.zeros(2, 3, 2, 2, dtype=torch.bool)
    selected[:, 1] = True
    figure = the_mathematics.tiles(selected)
    filled = [[patch.get_facecolor()[3] == 1 for patch in ax.patches] for ax in figure.axes]
    assert filled == [[j == 1] * 4 for _ in range(2) for j in range(3)]
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["sample 1", "sample 2"]


def test_the_computation_graph_names_every_gradient():
    [ax] = the_mathematics.computation_graph().axes
    texts = " ".join(text.get_text() for text in ax.texts)
    gradients = [r"dx =", r"d\mu =", "dc =", "ds =", "dv =", "dr =", r"d\hat x =", "$dy$"]
    assert all(gradient in texts for gradient in gradients)
    assert r"d\gamma =" in texts and r"d\beta =" in texts


def test_bars_show_each_value_and_name_the_methods():
    figure = from_scratch.bars({"time": {"autograd": 5.25, "normlab": 1}, "memory": {"normlab": 2}})
    time, memory = figure.axes
    assert [bar.get_width() for bar in time.patches] == [5.25, 1]
    assert [text.get_text() for text in time.texts] == ["5.2", "1.0"]
    assert [label.get_text() for label in time.get_yticklabels()] == ["autograd", "normlab"]
    assert [label.get_text() for label in memory.get_yticklabels()] == ["normlab"]
    assert memory.get_xlabel() == "memory"


def test_a_boundary_lies_where_the_logits_are_equal():
    class Logits(torch.nn.Module):  # the classes meet at y = 0.5
        def forward(self, points):
            return torch.stack([points[:, 1] - 0.5, 0.5 - points[:, 1]], dim=1)

    _, ax = plt.subplots()
    ax.set(xlim=(-1, 1), ylim=(0, 1))
    nn_batchnorm.boundary(Logits(), ax, "border")
    (line,) = ax.collections
    heights = line.get_paths()[0].vertices[:, 1]
    assert np.allclose(heights, 0.5, atol=1e-3)
    assert [text.get_text() for text in ax.texts] == ["border"]


def test_shared_values_draw_each_value_and_fill_the_selected_ones():
    panels = {}
    for name, shape in {"1d": (2, 3, 4), "2d": (2, 3, 4, 4), "3d": (2, 3, 2, 4, 4)}.items():
        panels[name] = torch.zeros(shape, dtype=torch.bool)
        panels[name][:, 1] = True
    figure = nn_batchnorm.shared_values(panels)
    assert [ax.get_title() for ax in figure.axes] == ["1d", "2d", "3d"]
    filled = [sum(patch.get_facecolor()[3] for patch in ax.patches) for ax in figure.axes]
    assert filled == [2 * 4, 2 * 16, 2 * (16 + 4 + 4)]  # behind: four above, four on the right


def test_followers_are_named_where_it_is_asked():
    ax = nn_batchnorm.followers({"late": [[50, 60], [50, 62]]}, [(1, 90)])
    assert [(text.get_text(), text.get_position()) for text in ax.texts] == [("late", (1, 90))]


def test_shared_statistics_fill_a_set_for_each_norm_and_hatch_rmsnorm():
    selected = torch.zeros(2, 3, 2, 2, dtype=torch.bool)
    selected[0] = True
    figure = normalization_family.shared_statistics({"LN over C": selected, "RMSNorm": selected})
    layer, rms = figure.axes
    assert sum(patch.get_facecolor()[3] == 1 for patch in layer.patches) == 12
    assert sum(patch.get_hatch() is not None for patch in rms.patches) == 12
    assert layer.texts[0].get_text() == "LN over C"
    assert layer.texts[0].get_color() == style.COLORS["LN"]


def test_parts_of_an_error_are_drawn_per_setting_and_named_once():
    parts = [{"bias²": 1, "variance": 2, "error": 3.5}, {"bias²": 2, "variance": 3, "error": 5.5}]
    settings = {"degree": [1, 2], "λ": [0.1, 0.5]}
    panels = {name: dict(zip(values, parts, strict=True)) for name, values in settings.items()}
    by_degree, by_strength = regularization.error_parts(panels, 0.5).axes
    drawn = [list(line.get_ydata()) for line in by_degree.lines]
    assert drawn == [[1, 2], [2, 3], [3.5, 5.5], [0.5, 0.5]]
    assert by_degree.get_xscale() == "linear" and by_strength.get_xscale() == "log"
    named = [text.get_text() for ax in (by_degree, by_strength) for text in ax.texts]
    assert sorted(named) == ["bias²", "error", "noise", "variance"]


def test_errors_by_decay_have_a_dot_per_seed_and_a_line_of_means():
    errors = torch.tensor([[10.0, 20.0], [30.0, 50.0]])  # [decays, seeds]
    ax = regularization.errors_by_decay({"without BN": errors, "with BN": errors}, [0, 0.1]).axes[0]
    assert [line.get_ydata().tolist() for line in ax.lines[-1:]] == [[15, 40]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.1"]


def test_the_region_of_a_penalty_touches_the_weights_it_leads_to():
    points = {"L1": torch.tensor([0.5, 0.0]), "L2": torch.tensor([0.3, 0.4])}
    figure = regularization.penalties(torch.eye(2), torch.tensor([1.0, 0.5]), points)
    for ax, order in zip(figure.axes, (1, 2), strict=True):
        border = np.stack(ax.lines[0].get_data())  # [2, points]
        assert np.allclose(np.linalg.norm(border, order, axis=0), 0.5)


def test_fits_draw_the_true_line_the_points_and_each_fit():
    grid = torch.linspace(-1, 1, 3)[:, None]
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.5], [1.0]])
    rows = {"plain": {"now": {"plain": grid}}, "a row": {"now": {"dropout": 2 * grid}}}
    figure = regularization.fits(rows, grid, [(x, y)], slope=1.5)
    truth, points, fit = figure.axes[1].lines
    assert truth.get_ydata()[-1].item() == 1.5 and len(points.get_xdata()) == 2
    assert fit.get_color() == style.COLORS["dropout"]
    assert [ax.get_ylabel() for ax in figure.axes] == ["plain", "a row"]


def test_regions_are_drawn_per_method_and_model_with_their_accuracy():
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    right, wrong = (torch.nn.Linear(2, 2) for _ in range(2))
    for model, sign in ((right, 1.0), (wrong, -1.0)):
        model.weight.data = sign * torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
        torch.nn.init.zeros_(model.bias)
    rows = {"without BN": [wrong, right], "with BN": [right, right]}
    figure = first_experiments.regions(rows, ["epoch 1", "epoch 2"], points, torch.tensor([1, 0]))
    assert [ax.get_xlabel() for ax in figure.axes] == ["0.0 %", "100.0 %", "100.0 %", "100.0 %"]
    assert [ax.get_title() for ax in figure.axes] == ["epoch 1", "epoch 2", "", ""]
    fill = figure.axes[1].images[0].get_array()  # [150, 150, RGBA]
    assert fill[75, -1, 3] > 0.5 > fill[75, 0, 3]


def test_curve_panels_share_a_log_axis_and_name_the_lines_in_the_last():
    values = np.array([[4.0, 2.0, 1.0], [8.0, 4.0, 3.0]])
    lines = {"without BN": values, "with BN": values / 10}
    figure = first_experiments.curve_panels({"left": lines, "right": lines}, "loss", log_x=True)
    left, right = figure.axes
    assert left.get_yscale() == left.get_xscale() == "log"
    assert left.lines[2].get_ydata().tolist() == [6, 3, 2]
    assert [text.get_text() for text in left.texts] == ["left"]
    assert [text.get_text() for text in right.texts] == ["right", "without BN", "with BN"]


def test_heat_maps_write_every_value_and_colour_what_reaches_the_threshold():
    values = [[50, 60], [97.6, float("nan")]]
    figure = initialization_and_learning_rate.heatmaps(
        {"with BN": values}, ["a", "b"], [0.1, 1], "rate", threshold=60
    )
    [ax] = figure.axes
    assert [text.get_text() for text in ax.texts] == ["50", "60", "98", "nan", "with BN"]
    coloured = ax.images[0].get_array()
    assert coloured.mask[0].tolist() == [True, False] and coloured[1, 0] == 97.6
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.1", "1"]


def test_a_file_map_has_a_row_of_ticks_for_each_outcome():
    figure = saving_and_loading.file_map(
        {"names": (0, 1024), "tensors": (1024, 4096)},
        {100: "raises", 2048: "loads wrong values", 3072: "loads wrong values"},
    )
    [ax] = figure.axes
    assert [line.get_xdata().tolist() for line in ax.lines] == [[100 / 1024], [2.0, 3.0]]
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "raises\n33 %",
        "loads wrong values\n67 %",
    ]
    assert [t.get_text() for t in ax.texts] == ["names", "tensors"]


def test_departures_keep_an_exact_zero_on_the_axis():
    figure = saving_and_loading.departures(
        {"nothing": [[0, 0]], "a part": [[0.1, 0.5], [0.2, 0.4]]}, 3, "gap"
    )
    [ax] = figure.axes
    assert ax.lines[0].get_ydata().tolist() == [0, 0]
    assert ax.get_ylim()[0] == 0 and ax.get_yscale() == "symlog"
    assert [line.get_xdata().tolist() for line in ax.lines] == 3 * [[4, 5]]
    assert [text.get_text() for text in ax.texts] == ["nothing", "a part"]


def test_running_means_begin_at_zero_and_name_each_line():
    means = {"rank 0": [torch.tensor([1.0, 5.0]), torch.tensor([2.0, 6.0])]}
    means["whole batch"] = [torch.tensor([0.5, 1.0]), torch.tensor([1.0, 2.0])]
    [ax] = many_devices.running_means(means, unit=1).axes
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0, 5, 6], [0, 1, 2]]
    assert [text.get_text() for text in ax.texts] == [*means]


def test_accumulated_draws_a_line_for_each_seed():
    distances = {"LN": [[1e-7, 1e-7], [2e-7, 1e-7]], "BN": [[0.2, 0.5], [0.1, 0.4]]}
    [ax] = many_devices.accumulated([2, 4], distances).axes
    assert [line.get_ydata().tolist() for line in ax.lines] == [*distances["LN"], *distances["BN"]]
    assert ax.get_yscale() == "log" and [t.get_text() for t in ax.texts] == [*distances]


def test_losses_beyond_the_top_leave_the_axes_and_every_start_has_a_panel():
    runs = {"without BN": [[0.7, float("inf")]], "with BN": [[0.7, 0.6]]}
    figure = initialization_and_learning_rate.losses({"default": runs, "careful": runs}, top=2000)
    assert [ax.get_ylim()[1] for ax in figure.axes] == [2000, 2000]
    drawn = [line.get_ydata().tolist() for line in figure.axes[0].lines[:2]]
    assert drawn == [[0.7, 1e30], [0.7, 0.6]]


def test_signals_go_from_the_first_layer_on_top_to_the_last():
    sizes = {"without BN": [[1.0, 0.1]], "with BN": [[1.0, 0.9]]}
    [ax] = initialization_and_learning_rate.signals({"default": sizes}, ["conv1", "fc1"]).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["conv1", "fc1"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_a_brake_is_drawn_with_its_bound():
    lines = {name: [[0.5, 0.2], [0.7, 0.4]] for name in ("small", "usual", "large")}
    [ax] = initialization_and_learning_rate.brake(lines, [0.7, 0.5], "step").axes
    assert ax.lines[-1].get_ydata().tolist() == [0.7, 0.5]
    assert np.allclose(ax.lines[2].get_ydata(), [0.6, 0.3])


def test_errors_by_batch_size_have_a_panel_per_network():
    lines = {"BN": {2: [50, 60], 64: [2, 4]}, "GN": {2: [5, 7], 64: [4, 4]}}
    figure = normalization_family.errors_by_batch_size({"MLP": lines, "convolutions": lines})
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines[2::3]] == [[55, 3], [6, 4]]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["2", "64"]


def test_accuracy_by_padding_dashes_the_second_row_of_a_norm():
    rows = {name: {0: [90, 92], 30: [80, 82]} for name in ("BN, eval", "BN, training", "LN")}
    [ax] = normalization_family.accuracy_by_padding(rows).axes
    assert [line.get_linestyle() for line in ax.lines[2:9:3]] == ["-", "--", "-"]


def test_ratios_have_a_colour_per_rate_and_a_line_of_medians():
    by_rate = {0.001: np.array([[2.0, 1.0], [4.0, 1.0], [3.0, 0.5]])}
    ax = first_experiments.ratios({"scaled": by_rate}, [1, 10]).axes[0]
    assert ax.lines[-1].get_ydata().tolist() == [3, 1]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["rate 0.001"]


def test_curves_may_stand_at_places_of_their_own():
    lines = {"with BN": np.array([[4.0, 2.0]])}
    figure = first_experiments.curve_panels({"a": lines}, "loss", at={"a": [25, 50]})
    assert figure.axes[0].lines[0].get_xdata().tolist() == [25, 50]


def test_points_of_two_classes_are_filled_or_rings():
    points, classes = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 0, 0])
    ax = first_experiments.points_of_two_classes(points, classes).axes[0]
    assert [len(dots.get_offsets()) for dots in ax.collections] == [2, 1]


def test_spreads_are_drawn_layer_by_layer():
    values = np.array([[1.0, 0.1], [1.0, 0.2]])
    ax = lenet_cifar10.spreads({"without BN": values}, ["conv1", "fc1"])
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1, 0.1], [1, 0.2]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["conv1", "fc1"]


def test_the_text_of_the_book_is_fixed_and_plain():
    text = transformers.book()
    assert len(text) == 26_857 and text.isascii()


def test_gradients_by_block_have_a_panel_without_the_plain_network():
    lines = {kind: torch.rand(2, 12) for kind in ("pre-LN", "post-LN", "no norm")}
    every, normed = transformers.by_block(lines, "length").axes
    assert [len(every.lines), len(normed.lines)] == [6, 4]
    assert every.get_yscale() == "log" and every.get_ylabel() == "length"
    assert [text.get_text() for text in normed.texts] == ["pre-LN", "post-LN"]


def test_a_loss_map_fills_what_is_better_than_a_guess():
    losses = torch.tensor([[[2.5], [3.0]], [[2.7], [float("nan")]]])
    figure = transformers.loss_maps(dict.fromkeys("abcd", losses), [2, 6], [0.01, 0.03], guess=3.0)
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.texts] == ["2.50", "3.00", "2.70", "diverged", "a"]
    assert [patch.get_alpha() > 0 for patch in ax.patches[::2]] == [True, False, True, False]


def test_the_growth_of_logits_is_dashed_for_the_second_method():
    lines = {(name, rate): [[3, 9], [3, 8]] for rate in (0.1, 0.3) for name in ("LN", "QK")}
    for ax in transformers.growth(lines, 10).axes:
        assert [line.get_linestyle() for line in ax.lines] == ["-", "-", "--", "--"]
        assert ax.lines[0].get_xdata().tolist() == [0, 10]


def test_losses_by_rate_name_each_line_where_it_ends():
    losses = {"pre-LN": [2.6, 2.5], "no norm": [2.8, float("nan")], "DyT 1": [2.7, 2.51]}
    [ax] = transformers.by_rate(losses, [0.01, 0.03], guess=3.0).axes
    ends = {text.get_text(): text.xy for text in ax.texts if hasattr(text, "xy")}
    assert ends["no norm"] == (0.01, 2.8) and ends["DyT 1"] == (0.03, 2.51)
    assert ends["pre-LN"][1] < 2.5  # moved away from the other


RATES = {"without BN": {0.1: [90, 94], 1: [10, 12]}, "with BN": {0.1: [95, 97], 1: [97, 98]}}


def test_accuracies_by_rate_have_a_dot_per_seed_and_a_line_per_method():
    figure = why_it_works.accuracy_by_rate({"MLP": RATES, "CNN": RATES}, guess=10)
    for ax in figure.axes:
        assert len(ax.lines) == 2 * (2 + 1) + 1  # dots, a line, and that of a guess
    written = {text.get_text() for text in figure.axes[0].texts}
    assert {"without BN", "with BN"} <= written


def test_a_point_of_loss_and_movement_is_labelled_in_each_panel():
    points = {"with BN": (0.001, 0.02), "noise 1": (2.0, 0.3), "LN": (0.3, 0.1)}
    figure = why_it_works.loss_by_shift({"a": points, "b": points, "c": points})
    *panels, empty = figure.axes
    assert [len(ax.lines) for ax in panels] == [3, 3, 3] and not empty.axison
    assert all(set(points) <= {text.get_text() for text in ax.texts} for ax in panels)


def test_every_kind_and_setting_is_a_point_between_the_lines_of_constant_products():
    points = {"with BN": [(2.0, 1.0), (6.0, 0.3)], "others": [(15.0, 0.1)]}
    ax = why_it_works.rate_by_smoothness(points, [1, 2]).axes[0]
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 1, 2, 2]
    x, y = ax.lines[-1].get_data()
    assert np.allclose(x * y, 2)


def test_channel_means_have_a_line_per_seed_and_one_for_their_mean():
    lines = {"without BN": [[1, 2, 3], [1, 2, 4]], "with BN": [[1, 1, 1], [1, 1, 2]]}
    ax = why_it_works.means_by_layer({"MLP": lines}).axes[0]
    assert [list(line.get_ydata()) for line in ax.lines[:3]] == [[1, 2, 3], [1, 2, 4], [1, 2, 3.5]]
    assert list(ax.get_xticks()) == [1, 2, 3]


def test_the_growth_of_weights_has_a_line_per_rate_and_one_label_for_those_that_stay():
    lines = {0.1: [[1, 1.0], [1, 1.0]], 1: [[1, 1.0], [1, 1.1]], 10: [[1, 2.0], [1, 4.0]]}
    ax = why_it_works.growth_by_step({"MLP": lines}).axes[0]
    assert [list(line.get_ydata()) for line in ax.lines] == [[1, 1], [1, 1.05], [1, 3]]
    assert [text.get_text() for text in ax.texts] == ["MLP", "0.1 to 1", "10"]


def test_lines_through_depth_have_a_median_and_a_name_at_the_end():
    lines = {"BN": [[1, 2], [1, 4], [1, 3]], "no norm": [[1, 50], [1, 70], [1, 60]]}
    [ax] = residual_networks.through_depth(lines, [8, 56], "layers", "gradient").axes
    assert ax.get_yscale() == "log"
    assert [line.get_ydata().tolist() for line in ax.lines[3::4]] == [[1, 3], [1, 60]]
    assert [text.get_text() for text in ax.texts] == ["BN", "no norm"]
    assert ax.texts[0].get_color() == style.COLORS["BN"]


def test_accuracies_have_a_row_for_each_method_and_rings_for_the_second_test():
    rows = {
        "BN": {"mixed": [40, 42], "sorted": [14, 16]},
        "GN": {"mixed": [35, 35], "sorted": [35]},
    }
    [ax] = residual_networks.accuracies(rows).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["BN", "GN"]
    dots = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert [dot.get_markerfacecolor() == "none" for dot in dots] == [False, True] * 2


def test_stored_against_seen_shows_each_channel_or_says_that_none_is_finite():
    seen = torch.tensor([0.0, 1.0])
    broken = torch.tensor([torch.inf, torch.nan])
    panels = {"a": (seen, seen), "b": (seen, -seen), "c": (seen, broken), "d": (seen, 0 * seen)}
    figure = clinic.stored_against_seen(panels)
    points = [ax.lines[1].get_xydata().tolist() for ax in figure.axes]
    assert points[:2] == [[[0, 0], [1, 1]], [[0, 0], [1, -1]]]
    said = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert said == [["a"], ["b"], ["c", "inf or NaN\nin every channel"], ["d"]]


def test_the_step_of_a_grid_follows_from_the_largest_channel():
    [ax] = deployment.reaches({"with BN": [1, 2, 4], "folded": [1, 2, 400]}, steps=100).axes
    assert ax.get_xscale() == "log"
    steps = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2]
    assert steps == pytest.approx([4, 0.04])  # from the bottom row
    assert [label.get_text() for label in ax.get_yticklabels()] == ["folded", "with BN"]


def test_the_way_to_round_is_seen_in_the_mark_and_the_side_in_the_colour():
    rows = {"float32": [0.5], "with BN, per tensor": [0.5], "folded, per channel": [0.4, 0.45]}
    [ax] = deployment.accuracies(rows).axes
    marks = [(line.get_markerfacecolor() == "none", line.get_color()) for line in ax.lines]
    assert [hollow for hollow, _ in marks] == [True, False, False]
    assert ax.lines[0].get_xdata().tolist() == [40, 45]
    assert ax.lines[0].get_markeredgecolor() == style.INK != ax.lines[1].get_markeredgecolor()


def test_more_training_shows_the_median_over_the_rates_and_the_start():
    runs = {"with BN": {0.1: [0.4, 0.5, 0.6], 1: [0.3] * 3}, "folded": {0.1: [0.4] * 3, 1: [0] * 3}}
    [ax] = deployment.trained_on(runs, 0.45).axes
    assert [list(line.get_ydata()) for line in ax.lines[3::4]] == [[50, 30], [40, 0]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.1", "1"]


def test_times_are_relative_to_the_baseline_and_hollow_for_the_second_batch_size():
    [ax] = deployment.times({1: {"a": 2, "b": 1}, 64: {"a": 4, "b": 3}}, "a").axes
    one, many = ax.lines[:2]
    assert list(one.get_xdata()) == [1, 0.5] and list(many.get_xdata()) == [1, 0.75]
    assert one.get_markerfacecolor() != "none" == many.get_markerfacecolor()


def test_a_copy_is_drawn_in_gigabytes_with_a_line_for_each_mark():
    [ax] = how_fast.bandwidth({2**16: 2e9, 2**20: 8e9, 2**24: 4e9}, {"large": 2**22}).axes
    assert ax.lines[0].get_ydata().tolist() == [2, 8, 4]
    assert [text.get_text() for text in ax.texts] == ["large"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["64 KiB", "512 KiB", "4 MiB"]


def test_a_roof_rises_to_the_peak_and_compiled_points_are_hollow():
    points = {"formula": (0.1, 1e9), "formula, compiled": (1.0, 8e9), "convolution": (50.0, 6e10)}
    [ax] = how_fast.roofline(points, 1e10, 1e11).axes
    roof = ax.lines[0].get_ydata()
    assert roof.max() == 100 and np.isclose(roof[0], 0.3)
    assert [line.get_mfc() == "none" for line in ax.lines[1:]] == [False, True, False]
    assert len({line.get_mec() for line in ax.lines[1:3]}) == 1


def test_a_ladder_has_a_row_for_each_way_and_a_panel_for_each_shape():
    rows = {"formula": 5.0, "torch.nn": 1.0}
    figure = how_fast.ladder({"64×6": rows, "128×64": rows | {"formula": 9.0}})
    assert [ax.lines[0].get_xdata()[0] for ax in figure.axes] == [1, 1]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["formula", "torch.nn"]
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1]
    assert "9.00" in [text.get_text() for text in figure.axes[1].texts]


def test_times_of_small_tensors_are_in_microseconds():
    [ax] = how_fast.small([240, 960], {"formula": [1e-4, 2e-4], "torch.nn": [3e-5, 4e-5]}).axes
    assert np.allclose(ax.lines[0].get_ydata(), [100, 200])
    assert ax.get_xscale() == ax.get_yscale() == "log"


def sizes_of_type(tree: ast.AST) -> list[object]:
    """Return the sizes that code asks for, in points or by name."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.keyword))
    named = [k.value for k in calls if k.arg in ("fontsize", "labelsize", "titlesize")]
    return [node.value for node in named if isinstance(node, ast.Constant)]


@pytest.mark.parametrize("path", sorted((ROOT / "chapters" / "figures").glob("*.py")))
def test_no_figure_asks_for_smaller_type(path: Path) -> None:
    asked = sizes_of_type(ast.parse(path.read_text(encoding="utf-8")))
    assert [size for size in asked if not isinstance(size, int) or size < style.FONT] == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_phone_shows_the_type_of_a_figure_at_nine_pixels_or_more(path: Path) -> None:
    """Figures are as wide there as the screen without a margin, see custom.css."""
    cells = code_cells(nbformat.read(path, as_version=4))
    outputs = [output for cell in cells for output in cell.outputs]
    drawn = [o.metadata["image/png"]["width"] for o in outputs if "image/png" in o.get("data", {})]
    pixels = style.FONT * 100 / 72
    assert all(pixels * (390 - 2 * 4) / width >= 9 for width in drawn)
