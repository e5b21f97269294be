"""Measures of a sheet whose answers are known: ideal pinwheels, planted clusters, stripes, white noise."""

import numpy as np
import pytest

from lnet.runtime.analysis.topography import (
    cluster_radius,
    entropies,
    orientation_bins,
    orientation_field,
    pinwheels,
    spectrum,
)

RANDOM = np.random.default_rng(0)


def pinwheel_map(extent, places):
    """Orientation around pinwheels at places between units: half the sum of angles about them, by sign."""
    rows, columns = np.mgrid[:extent, :extent].astype(float)
    angle = sum(sign * np.arctan2(-(rows - r), columns - c) for r, c, sign in places)
    return np.rad2deg(angle) / 2 % 180


def test_pinwheels_are_found_with_their_signs():
    places = [(3.5, 4.5, 1), (10.5, 12.5, -1), (12.5, 3.5, 1)]
    found = pinwheels(pinwheel_map(20, places)).signs
    assert {(r + 0.5, c + 0.5, int(found[r, c])) for r, c in zip(*np.nonzero(found), strict=True)} == set(
        places
    )


def test_a_gradient_has_no_pinwheels():
    rows, columns = np.mgrid[:16, :16]
    assert pinwheels((7 * rows + 3 * columns) % 180).count == 0


def test_a_third_of_the_squares_of_random_orientations_are_pinwheels():
    assert pinwheels(RANDOM.random((150, 150)) * 180).density == pytest.approx(1 / 3, abs=0.01)


def test_orientations_at_right_angles_turn_neither_way():
    assert pinwheels(np.array([[0.0, 90.0], [0.0, 0.0]])).count == 0
    assert pinwheels(np.array([[0.0, 90.0], [90.0, 0.0]])).count == 0
    coarse = pinwheels(RANDOM.integers(0, 12, (200, 200)) * 15.0)
    assert abs(coarse.signs.sum()) < 0.05 * coarse.count


def test_signs_cancel_on_a_torus():
    orientation = RANDOM.random((9, 12)) * 180
    signs = pinwheels(orientation, wrap=True).signs
    assert signs.shape == (9, 12)
    assert signs.sum() == 0
    assert np.array_equal(signs[:-1, :-1], pinwheels(orientation).signs)


def test_bins_are_centred():
    angles = np.array([0, 11, 12, 33, 34, 168, 169, 179.9])
    assert orientation_bins(angles).tolist() == [0, 0, 1, 1, 2, 7, 0, 0]


def searched(bins, wrap):
    """The radius by looking at every window of every unit."""
    rows, columns = bins.shape
    wanted, found = set(bins.ravel().tolist()), np.full(bins.shape, np.nan)
    for i, j in np.ndindex(rows, columns):
        for r in range((min(bins.shape) - 1) // 2 + 1 if wrap else max(bins.shape) + 1):
            places = [(i + u, j + v) for u in range(-r, r + 1) for v in range(-r, r + 1)]
            if wrap:
                seen = {int(bins[u % rows, v % columns]) for u, v in places}
            else:
                seen = {int(bins[u, v]) for u, v in places if 0 <= u < rows and 0 <= v < columns}
            if seen == wanted:
                found[i, j] = r
                break
    return found


@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize("shape", [(7, 10), (11, 5)])
def test_cluster_radius_is_what_a_search_finds(wrap, shape):
    bins = RANDOM.integers(0, 4, shape)
    assert np.array_equal(cluster_radius(bins, wrap), searched(bins, wrap), equal_nan=True)


def test_planted_clusters():
    """Stripes of w columns in eight orientations on a torus: from the middle of one, the fourth one on either side."""
    for width in (1, 3, 5):
        bins = np.tile(np.repeat(np.arange(8), width), (81, 2))
        radius = cluster_radius(bins)
        middle = (width - 1) // 2
        assert (
            radius[0, middle] == middle + 1 + 3 * width
        )  # the fourth stripe on one side, three on the other
    assert np.isnan(cluster_radius(np.arange(25).reshape(5, 5))).sum() == 0
    assert np.isnan(cluster_radius(np.tile(np.arange(8), (3, 1)))).all()


def test_entropy_rises_from_a_uniform_middle():
    bins = RANDOM.integers(0, 8, (48, 48))
    bins[12:36, 12:36] = 3
    found = entropies(bins, 12)
    middle = found.eccentricity < 12
    assert middle.sum() == 4
    assert (found.entropy[middle] == 0).all()
    assert (found.entropy[~middle] > 2.8).all()
    assert found.slope > 0.05
    assert entropies(np.tile(np.arange(8), (8, 2)), 8).entropy.tolist() == [3, 3]
    with pytest.raises(ValueError, match="larger than a sheet of 3x8"):
        entropies(np.zeros((3, 8), int), 4)


def test_a_wave_has_the_power_of_its_frequency():
    rows, columns = np.mgrid[:64, :64]
    found = spectrum(np.cos(2 * np.pi * (3 * rows + 4 * columns) / 64))
    assert found.frequency[found.power.argmax()] == pytest.approx(5 / 64)
    assert found.mean_frequency == pytest.approx(5 / 64)


def test_white_noise_has_roughness_one_and_a_flat_profile():
    found = spectrum(RANDOM.normal(size=(200, 160)))
    assert found.roughness == pytest.approx(1, abs=0.01)
    assert np.std(found.power[20:]) / np.mean(found.power[20:]) < 0.1


def test_smooth_orientations_are_less_rough():
    noise = RANDOM.normal(size=(64, 64)) + 1j * RANDOM.normal(size=(64, 64))
    near = np.exp(-(np.hypot(*(np.minimum(k, 64 - k) for k in np.mgrid[:64, :64])) ** 2) / 18)
    smooth = np.fft.ifft2(np.fft.fft2(noise) * np.fft.fft2(near))
    orientation = np.rad2deg(np.angle(smooth)) / 2 % 180
    assert spectrum(orientation_field(orientation)).roughness < 0.35
    assert spectrum(orientation_field(orientation, np.abs(smooth))).roughness < 0.2
    assert pinwheels(orientation).density < 0.02
