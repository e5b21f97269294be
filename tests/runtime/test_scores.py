"""Statistics of a probe against their definitions, image by image."""

import numpy as np
import pytest

from lnet.runtime.analysis.probe.scores import Figures, Verdict, figures, first_half, interval


def by_definition(verdict):
    """The same figures by loops over pairs and thresholds."""
    responses, predicted, positive = verdict.responses.astype(float), verdict.predicted, verdict.positive
    p, n = responses[positive], responses[~positive]
    hits, rejections = predicted[positive].mean(), (~predicted[~positive]).mean()
    pairs = [(a > b) + 0.5 * (a == b) for a in p for b in n]
    precision, before = 0.0, 0.0
    for threshold in sorted(set(responses), reverse=True):
        above = responses >= threshold
        recall = (above & positive).sum() / len(p)
        precision += (recall - before) * (above & positive).sum() / above.sum()
        before = recall
    d_prime = (p.mean() - n.mean()) / np.sqrt((p.var() + n.var()) / 2)
    return Figures(
        (predicted == positive).mean(), (hits + rejections) / 2, np.mean(pairs), precision, d_prime
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("values", [3, 10_000], ids=["many ties", "few ties"])
def test_figures(seed, values):
    rng = np.random.default_rng(seed)
    positive = np.concatenate([[True, False], rng.random(60) < 0.3])
    responses = (rng.integers(0, values, 62) + 1000 + positive).astype(np.float32)
    predicted = responses > np.median(responses)
    verdict = Verdict(responses, predicted, positive)
    found, expected = figures(verdict), by_definition(verdict)
    for name in Figures.__slots__:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9), name


def test_figures_of_one_class():
    found = figures(Verdict(np.arange(3.0), np.ones(3, bool), np.ones(3, bool)))
    assert found == Figures(1.0, None, None, 1.0, None)


def test_an_interval_goes_by_source():
    """Ten images of each source that say the same are no more evidence than one."""
    rng = np.random.default_rng(0)
    once = rng.random(80) < 0.7
    positive = np.arange(80) % 2 == 0
    responses = np.where(once == positive, 1.0, 0.0)
    tenfold, sources = (np.repeat(a, 10) for a in (responses, np.arange(80)))
    labels = np.repeat(positive, 10)
    low, high = interval(Verdict(tenfold, tenfold > 0.5, labels), sources, 1)
    exact = 1.96 * np.sqrt(once.mean() * (1 - once.mean()) / 80)
    assert high.accuracy - low.accuracy == pytest.approx(2 * exact, rel=0.1)
    assert low.accuracy < once.mean() < high.accuracy
    low, high = interval(Verdict(tenfold, tenfold > 0.5, labels), np.arange(800), 1)
    assert high.accuracy - low.accuracy == pytest.approx(2 * exact / np.sqrt(10), rel=0.1)


def test_an_interval_does_not_depend_on_how_it_is_cut(monkeypatch):
    rng = np.random.default_rng(0)
    responses, positive, sources = rng.random(50), rng.random(50) < 0.5, rng.integers(0, 20, 50)
    verdict = Verdict(responses, responses > 0.5, positive)
    whole = interval(verdict, sources, 3)
    monkeypatch.setattr("lnet.runtime.analysis.probe.scores.CHUNK", 170)
    assert interval(verdict, sources, 3) == whole


@pytest.mark.parametrize("seed", range(20))
def test_no_source_lies_in_both_halves(seed):
    rng = np.random.default_rng(seed)
    sources = rng.integers(0, 12, 100) * 7
    positive = (sources < 40) & (rng.random(100) < 0.8)
    half = first_half(sources, positive, seed)
    assert not set(sources[half]) & set(sources[~half])
    for part in (half, ~half):
        assert positive[part].any()
        assert not positive[part].all()
    assert abs(len(set(sources[half])) - len(set(sources[~half]))) <= 2


def test_halves_follow_the_seed():
    sources, positive = np.arange(50), np.arange(50) < 20
    assert (first_half(sources, positive, 1) == first_half(sources, positive, 1)).all()
    assert (first_half(sources, positive, 1) != first_half(sources, positive, 2)).any()
    assert first_half(sources, positive, 1).sum() == 25
