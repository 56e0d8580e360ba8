"""Several runs side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lungseg.report.compare import (
    comparison_table,
    config_difference,
    label_runs,
    learned_from,
    paired_table,
    pairs,
    repeats,
    repeats_table,
    runs_table,
)
from lungseg.report.reader import read_run


def test_runs_of_one_name_are_told_apart_by_letter_and_fold(make_run: Callable[..., Path]):
    runs = [read_run(make_run(str(fold), fold=fold)) for fold in (0, 1)]
    assert list(label_runs(runs)) == ["A resunet_jsrt, fold 0", "B resunet_jsrt, fold 1"]


def test_more_than_26_runs_get_two_letters(make_run: Callable[..., Path]):
    run = read_run(make_run(overlays=False))
    assert [label.split()[0] for label in label_runs([run] * 28)][-3:] == ["Z", "AA", "AB"]


def test_runs_of_a_sweep_are_told_apart_by_what_it_varied(make_run: Callable[..., Path]):
    runs = [
        read_run(make_run(str(place), overrides=(f"model.encoder={name}", "debug=smoke", f"paths.outputs={name}")))
        for place, name in enumerate(("resnet34", "efficientnet-b1"))
    ]
    assert list(label_runs(runs)) == ["A encoder resnet34", "B encoder efficientnet-b1"]


def test_a_sweep_beside_another_experiment_keeps_its_name(make_run: Callable[..., Path]):
    runs = [read_run(make_run(loss, overrides=(f"++loss={loss}",))) for loss in ("bce", "dice")]
    assert list(label_runs([*runs, read_run(make_run("c", name="other"))])) == [
        "A resunet_jsrt, loss bce",
        "B resunet_jsrt, loss dice",
        "C other",
    ]


def test_a_sweep_over_seeds_too_names_both(make_run: Callable[..., Path]):
    runs = [read_run(make_run(f"{seed}", seed=seed, overrides=(f"loss=l{seed}",))) for seed in range(2)]
    assert list(label_runs(runs)) == ["A seed 0, loss l0", "B seed 1, loss l1"]


def test_a_run_is_described_by_what_it_sets_otherwise(make_run: Callable[..., Path]):
    a, b = read_run(make_run("a")), read_run(make_run("b", lr=0.0003, name="other"))
    assert config_difference(b, a) == ["optimizer.lr=0.0003"]
    assert runs_table(label_runs([a, b])).rows[1][7].text == "optimizer.lr=0.0003"


def test_all_runs_of_a_part_stand_in_one_table(make_run: Callable[..., Path]):
    folders = [make_run("a"), make_run("b", dice=0.9), make_run("c", state="failed")]
    labelled = label_runs([read_run(folder) for folder in folders])
    table = comparison_table(labelled, "test")
    assert table is not None
    assert [row[0].text[0] for row in table.rows] == ["A", "B"]
    assert comparison_table(labelled, "val") is None


def test_outlines_stand_in_the_comparison_where_they_were_measured(make_run: Callable[..., Path]):
    table = comparison_table({"A": read_run(make_run("a", metrics={"hd95_mm": 4.256}))}, "test")
    assert table is not None
    place = [column.title for column in table.columns].index("HD95, mm")
    assert (table.rows[0][place].text, table.rows[0][place].sub) == ("4.26", "[4.25, 4.27]")


def test_each_run_is_paired_with_the_first(make_run: Callable[..., Path]):
    a, b = read_run(make_run("a", dice=0.9)), read_run(make_run("b", dice=0.97))
    labelled = label_runs([a, b])
    (pair,) = pairs(labelled)
    assert pair.difference is not None
    assert a.samples is not None
    assert b.samples is not None
    # the images are the same and all defined: the mean difference is the difference of the means
    assert pair.difference.interval.mean == pytest.approx(b.samples["dice"].mean() - a.samples["dice"].mean())
    assert pair.difference.interval.low > 0
    assert paired_table([pair], "A resunet_jsrt").rows[0][5].text.startswith("+")


def test_runs_without_a_common_image_are_said_to_have_none(make_run: Callable[..., Path]):
    labelled = label_runs([read_run(make_run("a")), read_run(make_run("b", sets={"test": {"montgomery": 5}}))])
    found = pairs(labelled)
    assert paired_table(found, "A").rows[0][3].text == "no common image"


def test_training_on_what_another_run_is_tested_on_is_named(make_run: Callable[..., Path]):
    honest = make_run("a", sets={"test": {"jsrt": 6}})
    peeking = make_run("b", name="peeking", sets={"train": {"jsrt": 4}})
    labelled = label_runs([read_run(honest), read_run(peeking)])
    assert learned_from(labelled) == ["B peeking was trained on 4 images that A resunet_jsrt is tested on."]


def test_folds_are_joined_with_mean_sd_and_all_images_together(make_run: Callable[..., Path]):
    runs = [read_run(make_run(str(fold), fold=fold, sets={"test": {"jsrt": 10}})) for fold in range(3)]
    (group,) = repeats(label_runs(runs))
    assert group.varied == ("split.fold",)
    row = repeats_table([group], n_boot=50).rows[0]
    means = [found.metric("dice").mean for run in runs if (found := run.main())]
    assert row[3].text == "3"
    assert float(row[4].text) == pytest.approx(sum(means) / 3, abs=6e-5)
    assert row[4].sub.startswith("± ")
    assert row[-1].text == "30"


def test_seeds_share_their_images_which_are_not_put_together(make_run: Callable[..., Path]):
    runs = [read_run(make_run(str(seed), seed=seed)) for seed in range(2)]
    (group,) = repeats(label_runs(runs))
    assert group.varied == ("seed",)
    assert repeats_table([group]).rows[0][-2].sub == "same images"


def test_runs_that_differ_in_more_are_no_repeats(make_run: Callable[..., Path]):
    runs = [read_run(make_run("a", seed=0)), read_run(make_run("b", seed=1, lr=0.1))]
    assert repeats(label_runs(runs)) == []
