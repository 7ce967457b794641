# SPDX-License-Identifier: Apache-2.0
"""The weekly CO2 series, its split, what a forecaster is fed, and the baselines; shared by train.py and demo.py."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SERIES = Path(__file__).with_name("co2_weekly.csv")
YEAR = 52  # weeks
VALIDATION_START = np.datetime64("1991-01-01")
TEST_START = np.datetime64("1996-01-01")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """A weekly series without gaps.

    Attributes
    ----------
    dates : (N,) datetime64[D]
        Saturdays.
    ppm : (N,) float64
        CO2 in parts per million by volume; weeks without a measurement are interpolated linearly.
    observed : (N,) bool
        Whether the week was measured. Errors are counted on these weeks only.
    """

    dates: npt.NDArray[np.datetime64]
    ppm: Floats
    observed: npt.NDArray[np.bool_]

    def index(self, date: np.datetime64) -> int:
        """Return the index of the first week on or after a date."""
        return int(np.searchsorted(self.dates, date))


def load_series(path: Path = SERIES) -> Series:
    """Read the CSV (date,co2_ppm; the second field is empty for weeks without a measurement)."""
    with path.open(newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    dates = np.array([row["date"] for row in rows], dtype="datetime64[D]")
    observed = np.array([row["co2_ppm"] != "" for row in rows])
    weeks = np.arange(len(rows))
    measured = np.array([float(row["co2_ppm"]) for row in rows if row["co2_ppm"]])
    return Series(dates, np.interp(weeks, weeks[observed], measured), observed)


def year_mean(ppm: Floats) -> Floats:
    """Return the mean of the 52 weeks that end with each week: (N,) float64, nan for the first 51.

    The level rises for ever, so a network that saw it would be asked in the test for numbers that it never met in
    training. It is fed the departure from this mean instead, which stays within a few ppm.
    """
    means = np.full(len(ppm), np.nan)
    total = np.cumsum(np.concatenate([[0.0], ppm]))
    means[YEAR - 1 :] = (total[YEAR:] - total[:-YEAR]) / YEAR
    return means


def last_value(ppm: Floats, origin: int, weeks: int) -> Floats:
    """Forecast that nothing changes: the value at `origin`, (weeks,) float64."""
    return np.full(weeks, ppm[origin])


def seasonal_naive(ppm: Floats, origin: int, weeks: int) -> Floats:
    """Forecast last year's value plus the growth of the year's mean over the last ten years, (weeks,) float64."""
    means = year_mean(ppm[: origin + 1])
    growth = (means[-1] - means[-1 - 10 * YEAR]) / 10
    forecast = list(ppm[origin + 1 - YEAR : origin + 1])
    for week in range(weeks):
        forecast.append(forecast[week] + growth)
    return np.array(forecast[YEAR:])


def rmse(errors: Floats) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(errors))))
