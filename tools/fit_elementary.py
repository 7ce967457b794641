#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Derives the coefficients of the elementary functions: prints kernels/src/arch/coefficients.h.

Each function is a polynomial, or a quotient of two, times and plus exact things; its coefficients minimise the largest
weighted error (the Remez exchange, on a fixed grid, in 40 digits, so that every machine prints the same). They are then
rounded one by one, the most influential first, and the ones not yet rounded are fitted again, so that they make up for
the rounding.

    python tools/fit_elementary.py > kernels/src/arch/coefficients.h
    python tools/fit_elementary.py --check kernels/src/arch/coefficients.h
"""

import argparse
import struct
import sys

from mpmath import atan, cos, cosh, erf, erfc, expm1, fabs, inf, log, lu_solve, matrix, mp, mpf, pi, sin, sqrt, tanh

mp.dps = 40
GRID = 400


def grid(low, high):
    """Chebyshev points of [low, high], which crowd at the ends as the extrema of an error do."""
    middle, half = (mpf(low) + high) / 2, (mpf(high) - low) / 2
    return [middle - half * cos(pi * (2 * i + 1) / (2 * GRID)) for i in range(GRID)]


def extrema(errors, count):
    """Indices of `count` alternating extrema of a sampled error: the best run of neighbours of opposite sign."""
    picked = []
    for i, e in enumerate(errors):
        if picked and (errors[picked[-1]] > 0) == (e > 0):
            if fabs(e) > fabs(errors[picked[-1]]):
                picked[-1] = i
        else:
            picked.append(i)
    while len(picked) > count:
        picked.pop(0 if fabs(errors[picked[0]]) < fabs(errors[picked[-1]]) else -1)
    return picked


def minimax(values, weights, columns):
    """Factors c of sum c[i] * columns[i] with the least max |weight * (sum - value)|, and that error. All sampled."""
    n = len(columns)
    if n == 0:
        return [], max(fabs(w * v) for v, w in zip(values, weights))
    reference = [(2 * i + 1) * len(values) // (2 * (n + 1)) for i in range(n + 1)]
    best, worst = None, inf
    for _ in range(40):
        a, b = matrix(n + 1, n + 1), matrix(n + 1, 1)
        for row, i in enumerate(reference):
            for column, samples in enumerate(columns):
                a[row, column] = samples[i]
            a[row, n] = (-1) ** row / weights[i]
            b[row] = values[i]
        c = list(lu_solve(a, b))[:n]
        sums = [sum(f * sample for f, sample in zip(c, row)) for row in zip(*columns)]
        errors = [w * (total - v) for total, v, w in zip(sums, values, weights)]
        largest = max(fabs(e) for e in errors)
        if largest < worst:
            best, worst = c, largest
        picked = extrema(errors, n + 1)
        if picked == reference or len(picked) < n + 1:
            break
        reference = picked
    return best, worst


def to_float32(x):
    return mpf(struct.unpack("<f", struct.pack("<f", float(x)))[0])


def fit(low, high, target, weight, powers, single=True):
    """Rounded coefficients by power, and the largest weighted error with them. Floats, or doubles unless `single`."""
    points = [x for x in grid(low, high) if x != 0]
    weights = [fabs(weight(x)) for x in points]
    remaining = [target(x) for x in points]
    rounded, left = {}, list(powers)
    while left:
        # Divided by x**p, which is 0 inside some intervals: the exchange wants functions without a common zero.
        p = left[0]
        c, _ = minimax([v / x**p for x, v in zip(points, remaining)],
                       [w * fabs(x) ** p for x, w in zip(points, weights)],
                       [[x ** (q - p) for x in points] for q in left])
        left.pop(0)
        rounded[p] = to_float32(c[0]) if single else mpf(float(c[0]))
        remaining = [v - rounded[p] * x**p for x, v in zip(points, remaining)]
    return rounded, max(fabs(w * v) for v, w in zip(remaining, weights))


def fit_quotient(high, target, weight, degrees):
    """Rounded coefficients of P and Q by (polynomial, power), and the largest weighted error with them.

    P(u) / Q(u) is near target(u) for u = x**2, |x| <= high; all three are 1 at 0. P - target Q is linear in the
    coefficients; its weight has the Q of the fit before, which settles after a few fits.
    """
    points = [x**2 for x in grid(0, high)]
    values, weights = [target(u) for u in points], [weight(u) for u in points]
    columns = {("P", p): [u**p for u in points] for p in range(1, degrees[0] + 1)}
    columns |= {("Q", p): [-v * u**p for u, v in zip(points, values)] for p in range(1, degrees[1] + 1)}
    remaining, below = [v - 1 for v in values], [mpf(1) for _ in points]
    rounded, left = {}, sorted(columns)
    while left:
        for _ in range(4):
            c, _ = minimax(remaining, [w / q for w, q in zip(weights, below)], [columns[name] for name in left])
            every = {**rounded, **dict(zip(left, c))}
            below = [1 + sum(f * u**p for (which, p), f in every.items() if which == "Q") for u in points]
        name = left.pop(0)
        rounded[name] = to_float32(c[0])
        remaining = [v - rounded[name] * sample for v, sample in zip(remaining, columns[name])]
    return rounded, max(fabs(w * v / q) for w, v, q in zip(weights, remaining, below))


HALF_LN2 = mpf("0.3475")  # ln 2 / 2 = 0.34657 and what rounding in the reduction can add
HALF = mpf("0.5")
EIGHTH_TURN = mpf("0.41422")  # tan(pi / 8) = 0.414214, likewise
QUARTER_PI = mpf("0.7865")  # pi / 4 = 0.78540, likewise
SQRT2_S = mpf("0.1716")  # (sqrt(2) - 1) / (sqrt(2) + 1)
ERF_SPLIT = mpf("0.925")
ERF_END = mpf("4.0")
# The end moves what rounding makes of the quotient by a tenth of an ulp, at random: of 8.6 to 9.3, this one stays under
# 4 ulp and is exactly 1 at the end.
TANH_END = mpf("9.25")


def log_ratio(w):
    """log((1 + s) / (1 - s)) / s, s = sqrt(w)."""
    s = sqrt(w)
    return log((1 + s) / (1 - s)) / s


def half_tanh(u):
    """tanh(x / 2) / (x / 2), u = x**2."""
    return tanh(sqrt(u) / 2) / (sqrt(u) / 2)


def half_tanh_weight(u):
    """What tanh x = 2 t / (1 + t**2) makes of an error of half_tanh, relative."""
    return 1 / (half_tanh(u) * cosh(sqrt(u)))


# name; what it is; low, high; target, weight; powers; float32
FITS = [
    ("EXPM1", "(e**y - 1 - y) / y**2 for |y| <= 0.3475; relative error of e**y - 1",
     -HALF_LN2, HALF_LN2, lambda y: (expm1(y) - y) / y**2, lambda y: y**2 / expm1(y), range(5), True),
    ("EXP2", "(2**f - 1) / f for |f| <= 0.5; relative error of 2**f",
     -HALF, HALF, lambda f: (mpf(2) ** f - 1) / f, lambda f: f / mpf(2) ** f, range(5), True),
    ("LOG", "(log((1 + s) / (1 - s)) / s - 2) / s**2 in powers of s**2 for |s| <= 0.1716; relative error of the log",
     mpf(0), SQRT2_S**2, lambda w: (log_ratio(w) - 2) / w, lambda w: w / 2, range(4), True),
    ("SIN", "(sin r - r) / r**3 in powers of r**2 for |r| <= 0.7865; relative error of sin r",
     mpf(0), QUARTER_PI**2, lambda w: (sin(sqrt(w)) - sqrt(w)) / sqrt(w) ** 3, lambda w: w * sqrt(w) / sin(sqrt(w)),
     range(3), True),
    ("COS", "(cos r - 1 + r**2 / 2) / r**4 in powers of r**2 for |r| <= 0.7865; relative error of cos r",
     mpf(0), QUARTER_PI**2, lambda w: (cos(sqrt(w)) - 1 + w / 2) / w**2, lambda w: w**2 / cos(sqrt(w)),
     range(3), True),
    ("ATAN", "(atan t - t) / t**3 in powers of t**2 for |t| <= 0.41422; relative error of atan t",
     mpf(0), EIGHTH_TURN**2, lambda w: (atan(sqrt(w)) - sqrt(w)) / sqrt(w) ** 3, lambda w: w * sqrt(w) / atan(sqrt(w)),
     range(5), True),
    ("ERF", "erf(x) / x - 1 in powers of x**2 for |x| <= 0.925; relative error of erf x",
     mpf(0), ERF_SPLIT**2, lambda w: erf(sqrt(w)) / sqrt(w) - 1, lambda w: sqrt(w) / erf(sqrt(w)), range(7), True),
    ("ERFC", "log2(1 - erf(x)) for 0.925 <= x <= 4; absolute error of erf x",
     ERF_SPLIT, ERF_END, lambda x: log(erfc(x), 2), lambda x: erfc(x) * log(2), range(8), True),
    ("POW_LOG2", "log2((1 + s) / (1 - s)) / s in powers of s**2 for |s| <= 0.1716, in double; relative error",
     mpf(0), SQRT2_S**2, lambda w: log_ratio(w) / log(2), lambda w: log(2) / log_ratio(w), range(6), False),
    ("POW_EXP2", "(2**f - 1) / f for |f| <= 0.5, in double; relative error of 2**f",
     -HALF, HALF, lambda f: (mpf(2) ** f - 1) / f, lambda f: f / mpf(2) ** f, range(8), False),
]


def split(name, what, value, bits):
    """A constant as a sum of floats with `bits` bits each, so that small integers times the first ones are exact."""
    lines = [f"// {what}"]
    for index, width in enumerate(bits):
        if width == 24:
            part = to_float32(value)
        else:
            unit = mpf(2) ** (int(mp.floor(log(value, 2))) + 1 - width)
            part = mp.floor(value / unit) * unit
        lines.append(f"#define TRN_{name}_{index} {hexadecimal(part)}f")
        value -= part
    return lines


def hexadecimal(x):
    """As float.hex, without trailing zeros."""
    mantissa, exponent = float(x).hex().split("p")
    return f"{mantissa.rstrip('0')}p{exponent}"


def header():
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// The coefficients of the elementary functions. Printed by tools/fit_elementary.py: change them there.",
        "#ifndef TRN_COEFFICIENTS_H",
        "#define TRN_COEFFICIENTS_H",
        "",
    ]
    for name, what, low, high, target, weight, powers, single in FITS:
        c, error = fit(low, high, target, weight, powers, single)
        lines.append(f"// {what}: 2**{float(log(error, 2)):.1f}")
        lines += [f"#define TRN_{name}_{p} {hexadecimal(c[p])}{'f' if single else ''}" for p in powers]
        lines.append("")
    c, error = fit_quotient(TANH_END, half_tanh, half_tanh_weight, (2, 3))
    what = "tanh(x / 2) = x / 2 P(x**2) / Q(x**2) for |x| <= 9.25, P and Q 1 at 0; relative error of tanh x"
    lines.append(f"// {what}: 2**{float(log(error, 2)):.1f}")
    lines += [f"#define TRN_TANH_{which}{p} {hexadecimal(c[which, p])}f" for which, p in sorted(c)]
    lines.append("")
    what = "ln 2; the first part has 15 bits, so that an exponent times it is exact"
    lines += [*split("LN2", what, log(2), [15, 24]), ""]
    what = "pi / 2; the first three parts have 11 bits, so that an integer below 2**13 times them is exact"
    lines += [*split("HALF_PI", what, pi / 2, [11, 11, 11, 24]), ""]
    lines += [*split("QUARTER_TURN", "pi / 2 in two parts", pi / 2, [24, 24]), ""]
    with mp.workdps(80):
        words = int(mp.floor(2 / mp.pi * mpf(2) ** 224))
    lines.append("// 2 / pi: a word before the point and 224 bits behind it, the highest word first.")
    lines.append("#define TRN_TWO_OVER_PI \\")
    lines.append("    {" + ", ".join(f"0x{words >> shift & 0xFFFFFFFF:08x}u" for shift in range(224, -1, -32)) + "}")
    return "\n".join([*lines, "", "#endif", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", metavar="FILE", help="compare FILE with what would be printed")
    file = parser.parse_args().check
    text = header()
    if file is None:
        sys.stdout.write(text)
        return 0
    with open(file, encoding="utf-8") as stream:
        if stream.read() == text:
            return 0
    print(f"{file} differs from what {sys.argv[0]} prints: run it again", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
