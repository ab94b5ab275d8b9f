"""Prices: the figures of Fly's own examples, and sums that are rounded once."""

import pytest

from flywizard import cost


@pytest.mark.parametrize(
    ("memory", "region", "usd"),
    [(256, "sjc", 2.31), (512, "sjc", 3.80), (1024, "sjc", 6.78), (256, "iad", 2.02), (1024, "iad", 5.93)],
)
def test_machine_prices_follow_the_published_examples(memory: int, region: str, usd: float) -> None:
    price, guess = cost.machine_usd(memory, region)
    assert round(price, 2) == pytest.approx(usd, abs=0.011)
    assert not guess


def test_an_unlisted_region_is_a_guess_and_dearer() -> None:
    usd, guess = cost.machine_usd(1024, "gru")
    assert guess
    assert usd > cost.machine_usd(1024, "iad")[0]


def test_memory_beyond_the_preset_is_priced_by_the_gigabyte() -> None:
    assert cost.machine_usd(3072, "iad")[0] == pytest.approx((1.94 + 2.75 * 5) * 1.04)


def test_the_smallest_cluster_costs_what_the_documentation_says() -> None:
    assert cost.total(cost.postgres("basic", 10)) == 40.80


def test_the_plan_that_flyctl_cannot_make_is_not_offered() -> None:
    assert "performance" not in [p.key for p in cost.postgres_plans()]
    with pytest.raises(KeyError):
        cost.postgres("Performance", 10)


def test_what_stops_when_idle_is_left_out_of_the_idle_total() -> None:
    web = cost.machines("web", 1, 1024, "iad", stops_when_idle=True)
    api = cost.machines("api", 1, 1024, "iad")
    assert cost.idle_total([web, api]) == cost.total([api])
    assert cost.total([web, api]) == round(web.usd + api.usd, 2)


def test_every_figure_has_a_source_and_a_date() -> None:
    for item in (*cost.postgres("launch", 20), cost.machines("api", 2, 512, "ams")):
        assert item.source
        assert item.date == "2026-08-07"
